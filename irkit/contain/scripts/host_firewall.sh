# Shut the host's own network, open it again, or say how it stands: policy routing that prohibits every destination
# but those that are named. Needs sh, iproute2 and root; leaves nothing behind, a reboot clears it.
# Arguments: shut|open|state, then for shut the addresses that stay reachable. The last line says what holds.
set -u
PATH=/usr/sbin:/sbin:/usr/bin:/bin
FIRST=21001   # our rules have these preferences: after the table `local` (0), before `main` (32766)
LAST=21999
act=${1:?}
shift

preferences() { ip "$1" rule show 2>/dev/null | sed -n 's/^\([0-9]*\):.*/\1/p' | awk "\$1 >= $FIRST && \$1 <= $LAST"; }

clear_rules() {
  for family in -4 -6; do
    for preference in $(preferences "$family"); do ip "$family" rule del pref "$preference" 2>/dev/null; done
  done
}

shut() {
  # The prohibition is in place before the exceptions are: on the way the host is too closed, never too open.
  for family in -4 -6; do
    ip "$family" rule show >/dev/null 2>&1 || continue
    ip "$family" rule show | grep -q "^$LAST:" || ip "$family" rule add pref "$LAST" prohibit || return 1
  done
  preference=$FIRST
  for address in "$@"; do
    case $address in *:*) family=-6 ;; *) family=-4 ;; esac
    ip "$family" rule show >/dev/null 2>&1 || continue
    ip "$family" rule show 2>/dev/null | grep -q "to $address lookup main" ||
      ip "$family" rule add pref "$preference" to "$address" lookup main || return 1
    preference=$((preference + 1))
  done
}

state() {
  for family in -4 -6; do
    ip "$family" rule show >/dev/null 2>&1 || continue
    ip "$family" rule show | grep -q "^$LAST:.*prohibit" || { echo "irkit-host-firewall open"; return; }
  done
  exceptions=$( (ip -4 rule show; ip -6 rule show 2>/dev/null) | sed -n 's/.* to \([^ ]*\) lookup main.*/\1/p' | sort -u)
  echo "irkit-host-firewall shut" $exceptions
}

command -v ip >/dev/null || { echo "irkit-host-firewall absent"; exit 0; }
[ "$(id -u)" = 0 ] || { echo "irkit-host-firewall denied"; exit 0; }
case $act in
  shut) shut "$@" || { echo "irkit-host-firewall failed"; exit 0; } ;;
  open) clear_rules ;;
  state) ;;
  *) echo "irkit-host-firewall unknown"; exit 0 ;;
esac
state
