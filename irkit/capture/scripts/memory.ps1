# Reads a live Windows host's memory and sends it to the evidence bucket, part by part. Windows PowerShell 5.1.
#
# The acquisition tool is the operator's: fetched by a link, checked against the SHA-256 that was pinned, run once. It
# writes to standard output; what comes is packed, cut into parts and sent, each part by a link of its own, and lies in
# this process's memory until then. No credential comes here: links to one object each, which end within the hour. What
# is written to the disk: the tool, in a folder that is removed, and whatever the tool itself writes (a driver).
#
# Settings, put ahead of this text by irkit: $IRKIT_LINKS (link of the first list of links), $IRKIT_SHA256 (of the
# tool), $IRKIT_ARGS, $IRKIT_COMPRESS (gzip or none), $IRKIT_PART_BYTES, $IRKIT_SECONDS (after which no part is begun),
# $IRKIT_PATIENCE (seconds to wait for more links).
#
# Output: name=value lines. Exit codes: 0 whole, 20 in part, 22 no room, 24 no links or tool to be had, 25 not the tool
# that was pinned, 26 not an administrator, 27 the tool did not start.

$ErrorActionPreference = 'Stop'
$ProgressPreference = 'SilentlyContinue'
Set-StrictMode -Off
if (-not $IRKIT_PATIENCE) { $IRKIT_PATIENCE = 600 }
$partBytes = [int]$IRKIT_PART_BYTES
$began = [Diagnostics.Stopwatch]::StartNew()
$folder = $null
$process = $null
$script:links = @{ }
$script:said = ''

function Write-Fact([string]$name, $value) {
  $text = [regex]::Replace([string]$value, '[^\x20-\x7e]', ' ')
  if ($text.Length -gt 400) { $text = $text.Substring(0, 400) }
  [Console]::Out.Write($name + '=' + $text + "`n")
}

function Stop-Here([string]$why, [int]$code) {
  Write-Fact 'failed' $why
  Remove-Trace
  exit $code
}

function Remove-Trace {
  if ($process -and -not $process.HasExited) { try { $process.Kill(); [void]$process.WaitForExit(5000) } catch { } }
  if ($folder) { try { [IO.Directory]::Delete($folder, $true) } catch { Write-Fact 'left' $folder } }
}

# The HTTP status, 0 when there was no answer; what S3 said is in $script:said.
function Get-Answer($request) {
  $script:said = ''
  try {
    $response = $request.GetResponse()
  } catch [Net.WebException] {
    $response = $_.Exception.Response
    if (-not $response) { $script:said = $_.Exception.Message; return 0 }
    $reader = New-Object IO.StreamReader($response.GetResponseStream())
    $script:said = $reader.ReadToEnd()
    $reader.Dispose()
  }
  $status = [int]$response.StatusCode
  $response.Close()
  return $status
}

function Get-Object([string]$link) {
  $script:said = ''
  try {
    $client = New-Object Net.WebClient
    return , $client.DownloadData($link)
  } catch {
    $inner = $_.Exception
    while ($inner -and $inner -isnot [Net.WebException]) { $inner = $inner.InnerException }
    $script:said = 'no answer'
    if ($inner -and $inner.Response) {
      $reader = New-Object IO.StreamReader($inner.Response.GetResponseStream())
      $script:said = 'HTTP ' + [int]$inner.Response.StatusCode + ' ' + $reader.ReadToEnd()
      $reader.Dispose()
    }
    return $null
  }
}

function Get-Why([string]$text) {
  if ($text -match 'expired') { return 'the link has expired' }
  if ($text -match '<Code>(\w+)</Code>') { return 'S3 says ' + $Matches[1] }
  return $text
}

# The list of links there, waited for: irkit signs the next one only when it is wanted.
function Read-Links([string]$link, [int]$seconds) {
  $until = $began.Elapsed.TotalSeconds + $seconds
  while ($true) {
    $content = Get-Object $link
    if ($content) {
      $lines = [Text.Encoding]::ASCII.GetString($content).Split("`n")
      if ($lines -contains 'end') {
        $script:links = @{ }
        foreach ($line in $lines) {
          $at = $line.LastIndexOf(' ')
          if ($at -gt 0) { $script:links[$line.Substring(0, $at)] = $line.Substring($at + 1) }
        }
        return $true
      }
    }
    if ($began.Elapsed.TotalSeconds -ge $until) { return $false }
    Start-Sleep -Seconds 2
  }
}

function Send-Part([byte[]]$bytes, [int]$length, [string]$link) {
  foreach ($pause in @(1, 3, 10, 0)) {
    $status = 0
    try {
      $md5 = [Security.Cryptography.MD5]::Create()
      $request = [Net.HttpWebRequest]::Create($link)
      $request.Method = 'PUT'
      $request.AllowWriteStreamBuffering = $false
      $request.ContentLength = $length
      $request.Timeout = 1800000
      $request.ReadWriteTimeout = 600000
      $request.ServicePoint.Expect100Continue = $false
      # A bucket with Object Lock wants it of each part; it is no checksum to trust, that is the SHA-256.
      $request.Headers['Content-MD5'] = [Convert]::ToBase64String($md5.ComputeHash($bytes, 0, $length))
      $stream = $request.GetRequestStream()
      $stream.Write($bytes, 0, $length)
      $stream.Close()
      $status = Get-Answer $request
    } catch {
      $script:said = $_.Exception.Message
    }
    if (@(200, 400, 403, 404) -contains $status) { break }
    if ($pause -gt 0) { Start-Sleep -Seconds $pause }
  }
  return $status
}

[Console]::Out.Write("irkit-memory/1`n")
[Net.ServicePointManager]::SecurityProtocol = [Net.SecurityProtocolType]::Tls12
$system = Get-CimInstance Win32_OperatingSystem
Write-Fact 'kernel' ($system.Version + ' ' + $system.BuildNumber)
Write-Fact 'machine' $env:PROCESSOR_ARCHITECTURE
Write-Fact 'memory_kb' $system.TotalVisibleMemorySize
$guard = Get-CimInstance -Namespace root\Microsoft\Windows\DeviceGuard -ClassName Win32_DeviceGuard -ErrorAction SilentlyContinue
# 1 is Credential Guard, 2 memory integrity: with these some of the memory cannot be read, or no driver be loaded.
$lockdown = 'not known'
if ($guard) { $lockdown = 'virtualization-based security services: ' + (@($guard.SecurityServicesRunning) -join ' ') }
Write-Fact 'lockdown' $lockdown

$identity = New-Object Security.Principal.WindowsPrincipal([Security.Principal.WindowsIdentity]::GetCurrent())
if (-not $identity.IsInRole([Security.Principal.WindowsBuiltInRole]::Administrator)) {
  Stop-Here 'not an administrator: no program could read the memory' 26
}
if ([long]$system.FreePhysicalMemory * 1024 -lt 4 * [long]$partBytes) {
  Stop-Here "less than four parts of $partBytes bytes of memory are free" 22
}
$drive = New-Object IO.DriveInfo($env:SystemRoot.Substring(0, 2))
if ($drive.AvailableFreeSpace -lt 268435456) { Stop-Here 'less than 256 MiB are free for the tool and its driver' 22 }

if (-not (Read-Links $IRKIT_LINKS 15)) { Stop-Here ('the links are not to be had: ' + (Get-Why $script:said)) 24 }
$content = Get-Object $script:links['tool']
if (-not $content) { Stop-Here ('the tool is not to be had: ' + (Get-Why $script:said)) 24 }
$sha256 = [Security.Cryptography.SHA256]::Create()
$digest = [BitConverter]::ToString($sha256.ComputeHash($content)).Replace('-', '').ToLower()
Write-Fact 'tool_sha256' $digest
if ($digest -ne $IRKIT_SHA256) { Stop-Here 'what arrived is not the tool that was pinned; it was not run' 25 }
$folder = [IO.Path]::Combine($env:SystemRoot, 'Temp', 'irkit-' + [Guid]::NewGuid().ToString('N'))
[void][IO.Directory]::CreateDirectory($folder)
Write-Fact 'place' $folder
$tool = [IO.Path]::Combine($folder, 'tool.exe')
[IO.File]::WriteAllBytes($tool, $content)

$start = New-Object Diagnostics.ProcessStartInfo($tool, $IRKIT_ARGS)
$start.UseShellExecute = $false
$start.CreateNoWindow = $true
$start.WorkingDirectory = $folder
$start.RedirectStandardOutput = $true
$start.RedirectStandardError = $true
try { $process = [Diagnostics.Process]::Start($start) } catch { Stop-Here ('the tool did not start: ' + $_.Exception.Message) 27 }
$log = $process.StandardError.ReadToEndAsync()
$output = $process.StandardOutput.BaseStream

$hash = [Security.Cryptography.SHA256]::Create()
$waiting = New-Object IO.MemoryStream
$packing = $waiting
if ($IRKIT_COMPRESS -eq 'gzip') {
  $packing = New-Object IO.Compression.GZipStream($waiting, [IO.Compression.CompressionLevel]::Fastest, $true)
}
$chunk = New-Object byte[] 1048576
$number = 0
$total = [long]0
$state = 'whole'
$ended = $false

while ($true) {
  while (-not $ended -and $waiting.Length -lt $partBytes) {
    $read = $output.Read($chunk, 0, $chunk.Length)
    if ($read -gt 0) {
      $packing.Write($chunk, 0, $read)
    } else {
      $ended = $true
      if ($packing -ne $waiting) { $packing.Dispose() }
    }
  }
  $length = [int][Math]::Min($waiting.Length, $partBytes)
  if ($length -eq 0) { break }
  if ($began.Elapsed.TotalSeconds -ge [int]$IRKIT_SECONDS) { $state = 'the time that was given is up'; break }
  $number += 1
  if (-not $script:links.ContainsKey("part $number")) {
    $more = Read-Links $script:links['next'] ([int]$IRKIT_PATIENCE)
    if (-not $more -or -not $script:links.ContainsKey("part $number")) {
      $state = "no link for part $number"
      $number -= 1
      break
    }
  }
  $bytes = $waiting.GetBuffer()
  $status = Send-Part $bytes $length $script:links["part $number"]
  if ($status -ne 200) {
    $state = "part $number was not taken: HTTP $status " + (Get-Why $script:said)
    $number -= 1
    break
  }
  # What has arrived, and only that, is hashed.
  [void]$hash.TransformBlock($bytes, 0, $length, $null, 0)
  $total += $length
  $rest = [int]($waiting.Length - $length)
  if ($rest -gt 0) { [Buffer]::BlockCopy($bytes, $length, $bytes, 0, $rest) }
  $waiting.SetLength($rest)
  $waiting.Position = $rest
}

[void]$hash.TransformFinalBlock((New-Object byte[] 0), 0, 0)
$code = 'was stopped'
if ($state -eq 'whole') {
  [void]$process.WaitForExit(60000)
  if ($process.HasExited) { $code = $process.ExitCode }
}
Write-Fact 'parts' $number
Write-Fact 'bytes' $total
Write-Fact 'stream_sha256' ([BitConverter]::ToString($hash.Hash).Replace('-', '').ToLower())
Write-Fact 'tool_exit' $code
if ($process.HasExited) {
  $said = $log.Result
  Write-Fact 'tool_said' $said.Substring([Math]::Max(0, $said.Length - 400))
}
Write-Fact 'seconds' ([int]$began.Elapsed.TotalSeconds)
if ($state -eq 'whole' -and $code -ne 0) { $state = "the tool ended with exit code $code" }
Write-Fact 'state' $state
Remove-Trace
if ($state -eq 'whole') { exit 0 }
exit 20
