#!/bin/sh
# Stands in for a memory acquisition tool in the simulator: dumps the writable memory of the sandbox's processes.
#
# It takes what AVML takes (acquire [--compress] [--source SOURCE] FILE, or - for standard output), so that irkit runs it
# as it runs that.
# A real tool reads the machine's physical memory from the kernel; a sandbox has none of its own.

set -u
[ "${1:-}" = acquire ] && shift
packed=no
[ "${1:-}" = --compress ] && { packed=yes; shift; }
[ "${1:-}" = --source ] && [ $# -gt 1 ] && shift 2
[ $# -eq 1 ] || { echo "usage: acquire [--compress] [--source SOURCE] FILE" >&2; exit 2; }

dump() {
  printf 'irkit stand-in memory/1\n'
  for dir in /proc/[0-9]*; do
    pid=${dir#/proc/}
    [ "$pid" != $$ ] || continue
    while read -r range flags _ _ _ name; do
      case "$flags $name" in rw*\[v*) continue ;; rw*) ;; *) continue ;; esac
      first=$((0x${range%-*})) last=$((0x${range#*-}))
      printf 'irkit stand-in range %s %s\n' "$pid" "$range"
      dd if="$dir/mem" bs=4096 skip=$((first / 4096)) count=$(((last - first) / 4096)) conv=noerror,sync 2>/dev/null
    done 2>/dev/null <"$dir/maps"
  done
}

case $packed-$1 in
  yes--) dump | gzip -1 -c ;;
  no--) dump ;;
  yes-*) dump | gzip -1 -c >"$1" ;;
  *) dump >"$1" ;;
esac
