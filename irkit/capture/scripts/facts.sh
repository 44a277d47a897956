#!/bin/sh
# Reads what is volatile on a live Linux host, most volatile first, and prints it. POSIX sh; runs on busybox too.
#
# It writes nothing to the host's disks, starts nothing that stays, reaches no network and holds no credential. What it
# cannot avoid: it is a process, and reading a file may set its access time.
#
# Output: one line that names the encoding, then the facts, gzipped and in base64 where the host has both. The facts are
# sections between lines that carry a nonce drawn here, so no file name or log line can pretend to be one. Lists within
# a section are separated by NUL, which no name can hold. Environment variables are read for their names only.
#
# Settings (environment): IRKIT_SECTIONS (names, default all), IRKIT_BUDGET (seconds after which no section is begun),
# IRKIT_MOST (seconds after which one that hangs is ended), IRKIT_LOG_BYTES (of each log), IRKIT_RECENT_DAYS (files
# changed since).

set -u
umask 077
LC_ALL=C
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export LC_ALL PATH

sections=${IRKIT_SECTIONS:-all}
budget=${IRKIT_BUDGET:-60}
most=${IRKIT_MOST:-$((budget + 30))}
log_bytes=${IRKIT_LOG_BYTES:-2097152}
recent=${IRKIT_RECENT_DAYS:-30}
began=$(date +%s)
web_roots='/var/www /srv/www /srv/http /usr/share/nginx/html /usr/local/apache2/htdocs /var/lib/tomcat/webapps'
# what a script in a web root calls that hands its input to a shell or to the interpreter
calls='(system|passthru|shell_exec|proc_open|popen|pcntl_exec|eval|assert|exec|getRuntime) *\('
nonce=$(od -An -N16 -tx1 /dev/urandom 2>/dev/null | tr -d ' \n')
[ -n "$nonce" ] || nonce=$(tr -d '-' </proc/sys/kernel/random/uuid)

# bounded SECONDS COMMAND…: run it, and kill it when it takes longer
if timeout 5 true 2>/dev/null; then
  bounded() { timeout -s KILL "$@"; }
elif timeout -t 5 true 2>/dev/null; then # busybox before 1.30
  bounded() { limit=$1; shift; timeout -t "$limit" -s KILL "$@"; }
else
  bounded() {
    limit=$1; shift
    "$@" & child=$!
    ( sleep "$limit"; kill -9 "$child" ) >/dev/null 2>&1 & guard=$!
    wait "$child"; code=$?
    kill "$guard" 2>/dev/null
    return "$code"
  }
fi

have() { command -v "$1" >/dev/null 2>&1; }
late() { [ $(($(date +%s) - began)) -ge "$budget" ]; }

# section NAME BYTES FUNCTION…: its output, cut after BYTES
section() {
  name=$1; cap=$2; shift 2
  case " $sections " in *" all "* | *" $name "*) ;; *) return 0 ;; esac
  if late; then printf '\n--%s late %s' "$nonce" "$name"; return 0; fi
  printf '\n--%s begin %s\n' "$nonce" "$name"
  { "$@"; printf '\n--%s exit %s' "$nonce" "$?"; } | head -c "$cap"
  printf '\n--%s end %s' "$nonce" "$name"
}

pair() { printf '%s\0' "$1"; shift; bounded 5 "$@" 2>/dev/null; printf '\0%s\0' "$nonce"; }

# kept FILE BYTES: its path, what stat says, and its last bytes
kept() {
  [ -f "$1" ] || return 0
  printf '%s\0%s\0' "$1" "$(stat -c '%Y %s %a %U' "$1" 2>/dev/null)"
  bounded 10 tail -c "$2" "$1" 2>/dev/null
  printf '\0%s\0' "$nonce"
}

kept_all() { bytes=$1; shift; for file; do kept "$file" "$bytes"; done; }

homes() { { echo /root; awk -F: '{print $6}' /etc/passwd; ls -d /home/*/ 2>/dev/null; } | sed 's,/*$,,' | grep '^/.' | sort -u; }

host() {
  pair hostname uname -n
  pair now date -u +%s
  pair kernel uname -r
  pair version uname -v
  pair machine uname -m
  pair uptime cat /proc/uptime
  pair boot sed -n 's/^btime //p' /proc/stat
  pair ticks getconf CLK_TCK
  pair release cat /etc/os-release
  pair command_line cat /proc/cmdline
  pair memory head -n 3 /proc/meminfo
  pair lockdown cat /sys/kernel/security/lockdown
  pair tainted cat /proc/sys/kernel/tainted
}

# Each process: pid, exe, links to it (0: deleted), cwd, stat, uid, sha256, then arguments, then names of variables.
processes() {
  for dir in /proc/[0-9]*; do
    [ -r "$dir/stat" ] || continue
    late && return 124
    exe=$(readlink "$dir/exe" 2>/dev/null)
    links=$(stat -L -c %h "$dir/exe" 2>/dev/null)
    sum=
    case "$links $exe" in
      [1-9]*\ /usr/* | [1-9]*\ /bin/* | [1-9]*\ /sbin/* | [1-9]*\ /lib* | ' '*) ;;
      *) sum=$(bounded 10 sha256sum <"$dir/exe" 2>/dev/null | cut -c1-64) ;;
    esac
    printf '%s\0' "${dir#/proc/}"
    printf '%s' "$exe"
    printf '\0%s\0' "$links"
    readlink "$dir/cwd" 2>/dev/null
    printf '\0%s\0' "$(tr -d '\000' <"$dir/stat" 2>/dev/null)"
    printf '%s\0%s\0' "$(sed -n 's/^Uid:[[:space:]]*\([0-9]*\).*/\1/p' "$dir/status" 2>/dev/null)" "$sum"
    bounded 5 cat "$dir/cmdline" 2>/dev/null
    printf '\0%s\0' "$nonce"
    # A value may hold newlines: they become spaces first, so that no part of a value can pass for a name.
    bounded 5 cat "$dir/environ" 2>/dev/null | tr '\n\000' ' \n' | sed -n 's/^\([A-Za-z_][A-Za-z0-9_.%()]*\)=.*/\1/p' | tr '\n' '\000'
    printf '\0%s\0' "$nonce"
  done
}

# The kernel's tables of every network namespace (containers have their own), then which process holds which socket.
sockets() {
  seen=' '
  for dir in /proc/[0-9]*; do
    space=$(readlink "$dir/ns/net" 2>/dev/null) || continue
    case "$seen" in *" $space "*) continue ;; esac
    seen="$seen$space "
    for table in tcp tcp6 udp udp6; do
      [ -r "$dir/net/$table" ] || continue
      printf '%s\0' "$table"
      bounded 5 cat "$dir/net/$table" 2>/dev/null
      printf '\0%s\0' "$nonce"
    done
  done
  printf 'owners\0'
  for dir in /proc/[0-9]*; do
    ls -l "$dir/fd" 2>/dev/null | sed -n "s,.*socket:\[\([0-9]*\)\].*,${dir#/proc/} \1,p"
  done
  printf '\0%s\0' "$nonce"
}

cron() {
  kept_all 65536 /etc/crontab /etc/anacrontab /etc/cron.d/* /etc/cron.d/.[!.]* \
    /var/spool/cron/* /var/spool/cron/crontabs/* \
    /etc/cron.hourly/* /etc/cron.daily/* /etc/cron.weekly/* /etc/cron.monthly/*
}

keys() {
  homes | while IFS= read -r home; do kept_all 65536 "$home/.ssh/authorized_keys" "$home/.ssh/authorized_keys2"; done
  kept_all 65536 /etc/ssh/authorized_keys/*
}

units() {
  kept_all 16384 /etc/systemd/system/*.service /etc/systemd/system/*.timer /etc/systemd/system/*.path \
    /run/systemd/system/*.service /run/systemd/system/*.timer /etc/rc.local /etc/rc.d/rc.local /etc/init.d/*
  homes | while IFS= read -r home; do kept_all 16384 "$home"/.config/systemd/user/*.service "$home"/.config/systemd/user/*.timer; done
}

# What runs at a login, at a boot, or at a moment that was set, besides cron and units.
startup() {
  kept_all 16384 /etc/profile /etc/profile.d/* /etc/bash.bashrc /etc/bashrc /etc/zsh/zshrc /etc/environment \
    /etc/update-motd.d/* /etc/modules /etc/modules-load.d/* /etc/modprobe.d/* /etc/udev/rules.d/* /etc/xdg/autostart/*
  homes | while IFS= read -r home; do
    for name in .profile .bash_profile .bashrc .bash_logout .zshrc .pam_environment; do kept "$home/$name" 16384; done
  done
}
at() { kept_all 65536 /var/spool/at/* /var/spool/cron/atjobs/* /var/spool/atjobs/*; }
ssh() {
  kept_all 65536 /etc/ssh/sshd_config /etc/ssh/sshd_config.d/* /etc/pam.d/sshd /etc/pam.d/common-auth /etc/pam.d/system-auth
  homes | while IFS= read -r home; do for name in config known_hosts rc environment; do kept "$home/.ssh/$name" 65536; done; done
}

preload() { kept_all 65536 /etc/ld.so.preload /etc/ld.so.conf /etc/ld.so.conf.d/*; }
sudoers() { kept_all 65536 /etc/sudoers /etc/sudoers.d/*; }
accounts() { kept_all 262144 /etc/passwd /etc/group; }

histories() {
  homes | while IFS= read -r home; do
    for name in bash zsh ash sh python mysql psql lesshst; do kept "$home/.${name}_history" 65536; done
  done
}

web_logs() {
  kept_all "$log_bytes" /var/log/httpd/*access* /var/log/apache2/*access* /var/log/nginx/*access* /var/log/caddy/*access*
}

# Requests for scripts that call a shell, from the whole of each log: what web_logs keeps may begin after the break-in.
web_shells() {
  names=$(for place in $web_roots; do
    [ -d "$place" ] || continue
    bounded 20 find "$place" -xdev -type f \( -mtime "-$recent" -o -ctime "-$recent" \) -exec sh -c '
      calls=$1; shift
      for file; do
        case $file in *.php* | *.phtml | *.phar | *.jsp* | *.asp* | *.cgi | *.pl | *.py | *.sh) ;; *) continue ;; esac
        grep -qE "$calls" "$file" 2>/dev/null && printf "%s\n" "${file##*/}"
      done' sh "$calls" {} + 2>/dev/null
  done | grep . | sort -u | head -n 50)
  [ -n "$names" ] || return 0
  for log in /var/log/httpd/*access* /var/log/apache2/*access* /var/log/nginx/*access* /var/log/caddy/*access*; do
    [ -f "$log" ] || continue
    printf '%s\0%s\0' "$log" "$(stat -c '%Y 0 %a %U' "$log" 2>/dev/null)"
    bounded 20 grep -F -e "$names" "$log" 2>/dev/null | head -c 262144
    printf '\0%s\0' "$nonce"
  done
}

system_logs() {
  kept_all "$log_bytes" /var/log/secure /var/log/auth.log /var/log/cron /var/log/messages /var/log/syslog /var/log/audit/audit.log
}

# listed WHY FOLDER…: files changed lately, with size, times, mode, owner, hash, and whether a script calls a shell
listed() {
  why=$1; shift
  bounded 25 find "$@" -xdev -type f \( -mtime "-$recent" -o -ctime "-$recent" \) -exec sh -c '
    why=$1; calls=$2; shift 2
    for file; do
      said=$(stat -c "%s %Y %Z %a %U %G" "$file" 2>/dev/null) || continue
      sum= code=
      [ "${said%% *}" -le 8388608 ] && sum=$(sha256sum <"$file" 2>/dev/null | cut -c1-64)
      case $why-$file in
        web-*.php* | web-*.phtml | web-*.phar | web-*.inc | web-*.jsp* | web-*.asp* | web-*.cgi | web-*.pl | web-*.py | web-*.sh)
          grep -qE "$calls" "$file" 2>/dev/null && code=1 ;;
      esac
      printf "%s\0%s\0%s\0%s\0%s\0" "$file" "$why" "$said" "$sum" "$code"
    done' sh "$why" "$calls" {} + 2>/dev/null
}

files() {
  ended=0
  for place in $(printf 'web:%s ' $web_roots) temporary:/tmp temporary:/var/tmp temporary:/dev/shm home:/root home:/home \
    etc:/etc; do
    [ -d "${place#*:}" ] || continue
    late && return 124
    listed "${place%%:*}" "${place#*:}"
    [ $? -ne 137 ] || ended=137
  done
  return $ended
}

first_of() { # the first of these commands (separated by --) that is there
  while [ $# -gt 0 ]; do
    if have "$1"; then
      line=
      while [ $# -gt 0 ] && [ "$1" != -- ]; do line="$line $1"; shift; done
      # shellcheck disable=SC2086 # the words are this script's own
      bounded 10 $line 2>/dev/null
      return $?
    fi
    while [ $# -gt 0 ] && [ "$1" != -- ]; do shift; done
    [ $# -gt 0 ] && shift
  done
  return 127
}

containers() {
  open='{' # doubled only when it runs: Systems Manager takes a pair of them in a parameter for one of its own
  open=$open$open
  shape=
  # Not the whole configuration: it holds the values of environment variables.
  for part in Id Name Config.Image Config.Cmd State HostConfig Mounts; do shape="$shape ${open}json .$part}}"; done
  for engine in docker podman; do
    have $engine || continue
    bounded 10 $engine ps -a --no-trunc 2>/dev/null
    running=$(bounded 10 $engine ps -q 2>/dev/null)
    # shellcheck disable=SC2086 # ids are words
    [ -z "$running" ] || bounded 10 $engine inspect --format "$shape" $running 2>/dev/null
  done
  if have crictl; then bounded 10 crictl ps -a 2>/dev/null; fi
  if have ctr; then bounded 10 ctr -n k8s.io containers list 2>/dev/null; fi
}

# Files that are open and in no folder any more, and memory that a program runs from without a file (memfd).
deleted_files() {
  for dir in /proc/[0-9]*; do
    late && return 124
    ls -l "$dir/fd" "$dir/map_files" 2>/dev/null | sed -n "s,.* -. \\(.*(deleted)\\)\$,${dir#/proc/} \\1,p" | sort -u | head -n 50
  done
}

# Which processes are in a container, whatever engine runs it: the kernel's own word, when no engine gives one.
container_processes() {
  for dir in /proc/[0-9]*; do
    late && return 124
    sed -n "s,.*\\(docker\\|containerd\\|crio\\|kubepods\\|libpod\\|lxc\\|podman\\),${dir#/proc/} &,p" "$dir/cgroup" 2>/dev/null
  done
}

# Modules that the kernel has and does not list: some root kits take themselves off the list only.
hidden_modules() {
  for state in /sys/module/*/initstate; do
    [ -e "$state" ] || continue
    name=${state%/initstate}
    grep -q "^${name##*/} " /proc/modules 2>/dev/null || printf '%s\n' "${name##*/}"
  done
}

sniffers() { for table in packet raw raw6; do echo "# $table"; bounded 5 cat "/proc/net/$table" 2>/dev/null; done; }

# What the analysis of a memory image wants to know of the kernel that it came from.
kernel() {
  for file in /proc/version /proc/cmdline /proc/iomem /sys/kernel/vmcoreinfo; do
    echo "# $file"
    bounded 5 head -c 65536 "$file" 2>/dev/null
  done
  echo '# build id'
  [ ! -r /sys/kernel/notes ] || bounded 5 od -An -v -tx1 /sys/kernel/notes
}

# Where no package puts a program that runs as root for everybody.
setuid() {
  bounded 10 find /tmp /var/tmp /dev/shm /home /root /opt /srv /usr/local /var/www -xdev -type f -perm -4000 -exec ls -ld {} + \
    2>/dev/null
  code=$?
  [ $code -eq 137 ] || code=0 # find complains of folders that are not there
  return $code
}

# The packages of programs that root kits replace; all packages would take minutes.
packages() {
  if have rpm; then
    bounded 30 rpm -V coreutils procps-ng util-linux openssh-server sudo pam shadow-utils iproute net-tools lsof 2>/dev/null
  elif have dpkg; then
    bounded 30 dpkg -V coreutils procps util-linux openssh-server sudo libpam-modules login passwd iproute2 net-tools lsof 2>/dev/null
  fi
  return 0 # a package that is not there, or that differs, is no failure of the reading
}

logins() {
  first_of who -a
  first_of last -n 200
}

facts() {
  printf 'irkit-facts/1 %s' "$nonce"
  section host 65536 host
  section processes 4194304 processes
  section sockets 2097152 sockets
  section text:sockets 524288 first_of ss -tunap -- netstat -tunap
  section text:neighbours 65536 first_of ip neigh -- cat /proc/net/arp
  section text:routes 131072 first_of ip route show table all -- cat /proc/net/route
  section text:addresses 131072 first_of ip address -- ifconfig -a
  section text:logins 131072 logins
  section text:modules 131072 first_of cat /proc/modules
  section text:hidden_modules 65536 hidden_modules
  section text:deleted_files 262144 deleted_files
  section text:sniffers 65536 sniffers
  section text:mounts 131072 first_of cat /proc/mounts
  section cron 1048576 cron
  section at 262144 at
  section keys 1048576 keys
  section ssh 524288 ssh
  section startup 1048576 startup
  section preload 131072 preload
  section accounts 524288 accounts
  section sudoers 262144 sudoers
  section units 1048576 units
  section text:timers 65536 first_of systemctl list-timers --all --no-pager
  section text:services 262144 first_of systemctl list-units --all --no-pager --no-legend
  section text:containers 524288 containers
  section text:container_processes 131072 container_processes
  section text:bpf 131072 first_of bpftool prog list
  section text:firewall 262144 first_of nft list ruleset -- iptables-save
  section text:disks 65536 first_of df -k
  section text:kernel 262144 kernel
  section histories 1048576 histories
  section web_logs $((log_bytes * 4)) web_logs
  section system_logs $((log_bytes * 2)) system_logs
  section web_shells 524288 web_shells
  section files 2097152 files
  section text:setuid 131072 setuid
  section text:packages 65536 packages
  section text:journal "$log_bytes" first_of journalctl --no-pager -o short-iso -n 2000
  printf '\n--%s complete\n' "$nonce"
}

# killed PID: it and everything that it started; stopped first, or it would start more while we look
killed() {
  kill -STOP "$1" 2>/dev/null
  for dir in /proc/[0-9]*; do
    read -r stat <"$dir/stat" || continue
    case "${stat##*) }" in ?" $1 "*) (killed "${dir#/proc/}") ;; esac
  done 2>/dev/null
  kill -9 "$1" 2>/dev/null
}

# Reading a file can hang where the host's intruder put a file system of his own: what was read by then still comes out.
guarded() {
  facts & worker=$!
  (sleep "$most"; killed "$worker") >/dev/null 2>&1 & guard=$!
  wait "$worker" 2>/dev/null
  killed "$guard"
  wait "$guard" 2>/dev/null
}

if have gzip && have base64; then
  echo 'irkit-facts gzip base64'
  guarded 2>/dev/null | gzip -c | base64 | tr -d '\n'
elif have base64; then
  echo 'irkit-facts plain base64'
  guarded 2>/dev/null | base64 | tr -d '\n'
else
  echo 'irkit-facts plain hex'
  guarded 2>/dev/null | od -An -v -tx1 | tr -d ' \n'
fi
echo
