#!/bin/sh
# Reads a live Linux host's memory and sends it to the evidence bucket, part by part. POSIX sh; runs on busybox too.
#
# The acquisition tool is the operator's: fetched by a link, checked against the SHA-256 that was pinned, run once. What
# it writes goes through a pipe into parts, each sent by a link of its own; one part at a time lies in a folder, which
# is memory (tmpfs) where there is such. No credential comes here: links to one object each, which end within the hour.
# They are given to curl on its standard input, so that no list of processes shows them.
#
# Settings, put ahead of this text by irkit: IRKIT_LINKS (link of the first list of links), IRKIT_SHA256 (of the tool),
# IRKIT_ARGS (the tool's arguments; {output} stands for where it writes, without it standard output is taken),
# IRKIT_COMPRESS (gzip or none), IRKIT_PART_BYTES, IRKIT_SECONDS (after which no part is begun), IRKIT_PATIENCE
# (seconds to wait for more links), IRKIT_PLACES (folders to work in, best first).
#
# Output: name=value lines. Exit codes: 0 whole, 20 in part, 21 kernel locked down, 22 no room, 23 no program to send
# with, 24 no links or tool to be had, 25 not the tool that was pinned, 26 not root.

set -u -f
umask 077
LC_ALL=C
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export LC_ALL PATH

began=$(date +%s)
patience=${IRKIT_PATIENCE:-600}
part_bytes=$IRKIT_PART_BYTES
folder=

say() { printf '%s=%s\n' "$1" "$(printf '%s' "$2" | tr -c '\040-\176' ' ' | cut -c1-400)"; }
leave() { say failed "$1"; exit "$2"; }
have() { command -v "$1" >/dev/null 2>&1; }
clean() {
  code=$?
  trap - EXIT
  [ -z "${acquiring:-}" ] || kill "$acquiring" 2>/dev/null
  [ -z "$folder" ] || rm -rf "$folder"
  exit "$code"
}
trap clean EXIT
trap 'exit 143' INT TERM HUP

echo irkit-memory/1
say kernel "$(uname -r)"
say machine "$(uname -m)"
say memory_kb "$(sed -n 's/^MemTotal: *\([0-9]*\).*/\1/p' /proc/meminfo)"

[ "$(id -u)" = 0 ] || leave 'not root: no program could read the memory' 26

lockdown=$(sed -n 's/.*\[\([a-z]*\)\].*/\1/p' /sys/kernel/security/lockdown 2>/dev/null)
say lockdown "${lockdown:-not known}"
# integrity closes /dev/mem, confidentiality /proc/kcore as well:
# https://man7.org/linux/man-pages/man7/kernel_lockdown.7.html
[ "$lockdown" != confidentiality ] ||
  leave 'the kernel is locked down (confidentiality): no program can read its memory' 21

if have curl; then
  sender=curl
elif have wget && wget --help 2>&1 | grep -q -e --body-file; then
  sender=wget
else
  leave 'neither curl nor GNU wget is installed, so that nothing can be sent' 23
fi
say sender "$sender"

if have sha256sum; then
  digest() { sha256sum | cut -c1-64; }
elif have openssl; then
  digest() { openssl dgst -sha256 -r | cut -c1-64; }
else
  leave 'neither sha256sum nor openssl is installed: the tool cannot be checked' 23
fi
# Content-MD5 is what a bucket with Object Lock wants of each part; it is no checksum to trust, that is the SHA-256.
if have openssl && have base64; then
  md5() { openssl dgst -md5 -binary <"$1" 2>/dev/null | base64; }
elif have md5sum && have base64; then
  md5() {
    for pair in $(md5sum <"$1" | cut -c1-32 | sed 's/../& /g'); do
      # shellcheck disable=SC2059 # the format is one octal escape
      printf "\\$(printf '%03o' "0x$pair")"
    done | base64
  }
else
  md5() { :; }
fi

# take FILE: the next part of standard input. busybox's own head reads ahead on a pipe, and would lose what it read.
if [ "$(printf abcdef | { head -c 3 >/dev/null; cat; })" = def ]; then
  take() { head -c "$part_bytes" >"$1"; }
elif [ "$(printf abcdef | { dd bs=3 count=1 iflag=fullblock 2>/dev/null >/dev/null; cat; })" = def ]; then
  take() { dd bs=65536 count=$((part_bytes / 65536)) iflag=fullblock 2>/dev/null >"$1"; }
else
  leave 'neither head nor dd of this host can divide a stream' 23
fi

# A folder with room for a part and the tool, in memory where that can be had, that lets programs run.
needed=$((part_bytes / 1024 + 65536))
available=$(sed -n 's/^MemAvailable: *\([0-9]*\).*/\1/p' /proc/meminfo)
for place in ${IRKIT_PLACES:-/dev/shm /run /tmp /var/tmp}; do
  [ -d "$place" ] && [ -w "$place" ] || continue
  kind=$(df -PT "$place" 2>/dev/null | awk 'NR == 2 { print $2 }')
  room=$(df -Pk "$place" 2>/dev/null | awk 'NR == 2 { print $4 }')
  if [ "${kind:-}" = tmpfs ] && [ "${available:-0}" -lt $((needed * 2)) ]; then continue; fi
  [ "${room:-0}" -ge "$needed" ] || continue
  folder=$(mktemp -d "$place/.irkit.XXXXXXXX" 2>/dev/null) || { folder=; continue; }
  printf '#!/bin/sh\nexit 0\n' >"$folder/try" && chmod 700 "$folder/try" && "$folder/try" 2>/dev/null && break
  rm -rf "$folder"
  folder=
done
[ -n "$folder" ] || leave "no folder with $needed KiB of room in which programs may run" 22
say place "$place ${kind:-file system not known}"

# fetch LINK FILE, send LINK FILE: the HTTP status on standard output, 000 when there was no answer
if [ $sender = curl ]; then
  fetch() {
    printf 'url = "%s"\n' "$1" | curl -sS -K - -o "$2" -w '%{http_code}' --connect-timeout 10 --max-time 300 \
      2>"$folder/said"
  }
  send() {
    set -- "$1" "$2" "$(md5 "$2")"
    printf 'url = "%s"\n' "$1" | curl -sS -K - -T "$2" -H Expect: ${3:+-H "Content-MD5: $3"} -o "$folder/answer" \
      -w '%{http_code}' --connect-timeout 10 --max-time 1800 2>"$folder/said"
  }
else
  status() { sed -n 's,^ *HTTP/[0-9.]* \([0-9]*\).*,\1,p' "$folder/said" | tail -n 1 | grep . || printf 000; }
  fetch() { printf '%s\n' "$1" | wget -S -t 1 -T 60 -O "$2" -i - 2>"$folder/said"; status; }
  send() {
    set -- "$1" "$2" "$(md5 "$2")"
    printf '%s\n' "$1" | wget -S -t 1 -T 600 --method=PUT --body-file="$2" ${3:+--header="Content-MD5: $3"} \
      --content-on-error -O "$folder/answer" -i - 2>"$folder/said"
    status
  }
fi
why() { # of a status: what S3 or the program said
  case "$1 $(head -c 2000 "$folder/answer" 2>/dev/null)" in
    403*expired*) echo 'the link has expired' ;;
    *)
      code=$(sed -n 's,.*<Code>\([A-Za-z]*\)</Code>.*,\1,p' "$folder/answer" 2>/dev/null | head -n 1)
      printf 'HTTP %s' "$1${code:+ $code}"
      ;;
  esac
}

# more LINK SECONDS: the list of links there; waited for, since irkit signs the next one only when it is wanted
more() {
  until=$(($(date +%s) + $2))
  while :; do
    status=$(fetch "$1" "$folder/answer")
    if [ "$status" = 200 ] && [ "$(tail -n 1 "$folder/answer")" = end ]; then
      mv "$folder/answer" "$folder/links"
      return 0
    fi
    [ "$(date +%s)" -lt "$until" ] || return 1
    sleep 2
  done
}

more "$IRKIT_LINKS" 15 || leave "the links are not to be had: $(why "$status")" 24

tool=$(sed -n 's/^tool //p' "$folder/links")
status=$(fetch "$tool" "$folder/tool")
if [ "$status" != 200 ]; then
  mv -f "$folder/tool" "$folder/answer" 2>/dev/null
  leave "the tool is not to be had: $(why "$status")" 24
fi
found=$(digest <"$folder/tool")
say tool_sha256 "$found"
[ "$found" = "$IRKIT_SHA256" ] || leave 'what arrived is not the tool that was pinned; it was not run' 25
chmod 700 "$folder/tool"

mkfifo "$folder/out" "$folder/sent" || leave 'no named pipe can be made' 22
set --
named=no
for word in $IRKIT_ARGS; do
  case $word in '{output}') set -- "$@" "$folder/out"; named=yes ;; *) set -- "$@" "$word" ;; esac
done
# Both ends are open before the tool begins, and one of each is left: the reader sees the end when the tool ends, also
# when it never opened its output, and the tool is told when nobody reads any more.
exec 5<>"$folder/out" 6<"$folder/out" 7>"$folder/out" 5<&-
(
  exec 6<&-
  if [ $named = yes ]; then
    "$folder/tool" "$@" >"$folder/log" 2>&1
  else
    "$folder/tool" "$@" >&7 2>"$folder/log"
  fi
  echo $? >"$folder/code"
) &
acquiring=$!
exec 7>&-
digest <"$folder/sent" >"$folder/sha256" 6<&- &
hashing=$!

packed() { if [ "$IRKIT_COMPRESS" = gzip ]; then gzip -1 -c; else cat; fi; }

divided() {
  exec 4>"$folder/sent" # what has arrived, and only that, is hashed
  number=0 total=0 state=whole
  while :; do
    take "$folder/part"
    size=$(wc -c <"$folder/part" | tr -d ' ')
    [ "$size" -gt 0 ] || break
    number=$((number + 1))
    if [ $(($(date +%s) - began)) -ge "$IRKIT_SECONDS" ]; then state='the time that was given is up'; break; fi
    link=$(sed -n "s/^part $number //p" "$folder/links")
    if [ -z "$link" ]; then
      more "$(sed -n 's/^next //p' "$folder/links")" "$patience" || { state="no link for part $number"; break; }
      link=$(sed -n "s/^part $number //p" "$folder/links")
    fi
    for pause in 1 3 10 0; do
      : >"$folder/answer"
      status=$(send "$link" "$folder/part")
      case $status in 200 | 400 | 403 | 404) break ;; esac
      [ $pause = 0 ] || sleep $pause
    done
    if [ "$status" != 200 ]; then state="part $number was not taken: $(why "$status")"; break; fi
    cat "$folder/part" >&4
    total=$((total + size))
    printf '%s %s\n' "$number" "$total" >"$folder/count"
    [ "$size" -eq "$part_bytes" ] || break
  done
  exec 4>&-
  printf '%s' "$state" >"$folder/state"
}

echo '0 0' >"$folder/count"
packed <&6 6<&- | divided 6<&- &
dividing=$!
exec 6<&-
wait "$dividing"
wait "$hashing"
state=$(cat "$folder/state")
[ "$state" != whole ] || wait "$acquiring"
read -r parts bytes <"$folder/count"
code=$(cat "$folder/code" 2>/dev/null)
say parts "$parts"
say bytes "$bytes"
say stream_sha256 "$(cat "$folder/sha256")"
say tool_exit "${code:-was stopped}"
say tool_said "$(tail -c 400 "$folder/log" 2>/dev/null)"
say seconds $(($(date +%s) - began))
if [ "$state" = whole ] && [ "${code:-1}" != 0 ]; then state="the tool ended with exit code ${code:-unknown}"; fi
say state "$state"
[ "$state" = whole ] || exit 20
