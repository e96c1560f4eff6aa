"""Apache Kafka as one KRaft node: broker and controller in one small Java process on loopback.

In: a folder, two ports, the cache of the jars. Out: `127.0.0.1:port`, PLAINTEXT, for this machine only.
Promise: acknowledged records survive a kill -9 of the process, because they are in the page cache, but not a power cut.
Paths in the configuration are relative to the folder, because a properties file is Latin-1 and splits at commas.
"""

from __future__ import annotations

import base64
import logging
import shutil
import signal
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import AlterConfigOpType, ConfigEntry, ConfigResource
from confluent_kafka.admin._resource import ResourceType

from rtaplatform.core.errors import SetupError
from rtaplatform.core.events import EVENT_TOPICS
from rtaplatform.local.data.ports import LOOPBACK
from rtaplatform.local.data.private_files import write_private
from rtaplatform.local.servers.class_archive import CLASS_LIST, ClassArchive
from rtaplatform.local.servers.jars import LOCK, fetch_class_path
from rtaplatform.local.servers.java import Java, find_java
from rtaplatform.local.servers.log_limits import TopicLimit, divide_bytes
from rtaplatform.local.supervisor.child_process import Command, make_plain_environment, run_to_completion
from rtaplatform.local.supervisor.embedded_server import Say

# With one compiler tier Java starts a third faster and needs less memory. One machine's load does not need more.
JAVA_FLAGS = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xss512k", "-XX:+ExitOnOutOfMemoryError")
FORMAT_SECONDS_MAX = 120
_OUR_TOPICS = "rta."
_LIMIT_SECONDS_MAX = 10.0

# After a kill, a broker can register again and a worker's partitions are reassigned only when the session has ended.
PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers={host}:{controller_port}
listeners={listeners}
advertised.listeners={advertised_listeners}
listener.security.protocol.map={protocols}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
log.dirs={log_dir}
auto.create.topics.enable=false
default.replication.factor=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=4
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
group.initial.rebalance.delay.ms=0
group.consumer.min.session.timeout.ms=6000
group.consumer.session.timeout.ms=6000
group.consumer.min.heartbeat.interval.ms=1000
group.consumer.heartbeat.interval.ms=1500
log.retention.ms=-1
log.retention.bytes=-1
log.retention.check.interval.ms=5000
log.segment.delete.delay.ms=1000
log.segment.bytes=67108864
log.cleaner.dedupe.buffer.size=16777216
num.network.threads=2
num.io.threads=4
background.threads=2
"""

LOGGING = """\
rootLogger.level=warn
rootLogger.appenderRef.out.ref=out
appender.out.type=Console
appender.out.name=out
appender.out.layout.type=PatternLayout
appender.out.layout.pattern=%d{ISO8601} %p %c{1}: %m%n
logger.started.name=kafka.server.KafkaRaftServer
logger.started.level=info
logger.application.name=org.apache.kafka.common.utils.AppInfoParser
logger.application.level=error
"""


@dataclass
class Kafka:
    """The embedded Kafka in `folder`.

    For tests: `extra_listeners` has by name the port to listen on and the port to advertise (that of a proxy);
    `lock_file` names the jars of another version.
    """

    folder: Path
    cache: Path
    port: int
    controller_port: int
    heap_mb: int = 256
    bytes_max: int = 4 << 30
    repository_url: str | None = None
    extra_listeners: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    lock_file: Path = LOCK
    name: str = field(default="kafka", init=False)
    stop_signal: int = field(default=signal.SIGTERM, init=False)
    _java: Java | None = field(default=None, init=False, repr=False)
    _jars: list[Path] = field(default_factory=list, init=False, repr=False)
    _client: AdminClient | None = field(default=None, init=False, repr=False)

    @property
    def bootstrap_servers(self) -> str:
        return f"{LOOPBACK}:{self.port}"

    def prepare(self, say: Say) -> None:
        """Find Java, fetch the jars, format the folder on first use."""
        self._java = find_java()
        self._jars = fetch_class_path(self.cache, say, repository_url=self.repository_url, lock_file=self.lock_file)
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(self.folder / "log4j2.properties", LOGGING)
        if not (self.folder / "log" / "meta.properties").exists():
            say("Formatting Kafka's log, once")
            self._format()
        self._write_properties("server.properties", "log")

    def make_command(self) -> Command:
        argv = self._make_java_command(self._find_archive().choose_flags(), "kafka.Kafka", "server.properties")
        return Command(argv, self.folder, make_plain_environment())

    def make_archive_command(self) -> Command | None:
        """A command that makes later starts faster. None if there is nothing to do."""
        archive = self._find_archive()
        if archive.path.exists() or not (self.folder / CLASS_LIST).exists():
            return None
        return Command(
            archive.make_command(self.folder, self._make_heap_flags() + JAVA_FLAGS),
            self.folder,
            make_plain_environment(),
        )

    def install_archive(self) -> None:
        """Call this after the command of `make_archive_command` has succeeded."""
        self._find_archive().install(self.folder)

    def maintain(self) -> None:
        """Nothing to do."""

    def answers(self) -> bool:
        """Whether the broker returns its cluster metadata."""
        if self._client is None:
            options: dict[str, str | int | float | bool] = {
                "bootstrap.servers": self.bootstrap_servers,
                "reconnect.backoff.max.ms": 200,
            }
            self._client = AdminClient(options, logger=_make_silent_logger())
        try:
            return bool(self._client.list_topics(timeout=0.3).brokers)
        except KafkaException:
            return False

    def limit_topics(self) -> None:
        """Limit our topics to `bytes_max` in all. Call it once the topics exist. Raises SetupError."""
        admin = AdminClient({"bootstrap.servers": self.bootstrap_servers}, logger=_make_silent_logger())
        try:
            topics = admin.list_topics(timeout=_LIMIT_SECONDS_MAX).topics
            partitions = {name: len(topic.partitions) for name, topic in topics.items() if name.startswith(_OUR_TOPICS)}
            limits = divide_bytes(self.bytes_max, partitions, frozenset(EVENT_TOPICS))
            changes = [_limit_config(topic, limit) for topic, limit in limits.items()]
            for future in admin.incremental_alter_configs(changes).values() if changes else ():
                future.result(_LIMIT_SECONDS_MAX)
        except (KafkaException, TimeoutError) as error:
            raise SetupError(f"Kafka takes no limit of its disk use: {error}", "Start again.") from error

    def _format(self) -> None:
        # First in a temporary folder, so that an interrupted format leaves nothing that looks complete.
        for name in ("log", "log.new"):
            shutil.rmtree(self.folder / name, ignore_errors=True)
        self._write_properties("format.properties", "log.new")
        arguments = ("format", "--standalone", "-t", _make_cluster_id(), "-c", "format.properties")
        flags = self._find_archive().choose_flags() if self._find_archive().path.exists() else ()
        argv = self._make_java_command(flags, "kafka.tools.StorageTool", *arguments)
        command = Command(argv, self.folder, make_plain_environment())
        process = run_to_completion(command, FORMAT_SECONDS_MAX)
        if process.returncode != 0:
            raise SetupError(
                f"Kafka's folder cannot be formatted:\n{(process.stdout + process.stderr)[-1500:].strip()}",
                f"See whether {self.folder} is on a full or read-only disk.",
            )
        (self.folder / "log.new").rename(self.folder / "log")

    def _make_java_command(self, flags: tuple[str, ...], main_class: str, *arguments: str) -> tuple[str, ...]:
        assert self._java is not None, "prepare() comes first"
        options = ("-Dlog4j2.configurationFile=log4j2.properties", "-cp", self._make_class_path())
        return (
            str(self._java.program),
            *self._make_heap_flags(),
            *JAVA_FLAGS,
            *flags,
            *options,
            main_class,
            *arguments,
        )

    def _make_heap_flags(self) -> tuple[str, ...]:
        return (f"-Xmx{self.heap_mb}m", "-Xms64m")

    def _make_class_path(self) -> str:
        return ":".join(map(str, self._jars))

    def _find_archive(self) -> ClassArchive:
        assert self._java is not None, "prepare() comes first"
        return ClassArchive(self.cache / "classes", self._java, self._make_class_path())

    def _write_properties(self, name: str, log_dir: str) -> None:
        own_listeners = {
            "PLAINTEXT": (self.port, self.port),
            "CONTROLLER": (self.controller_port, self.controller_port),
        }
        listeners = own_listeners | dict(self.extra_listeners)
        text = PROPERTIES.format(
            host=LOOPBACK,
            controller_port=self.controller_port,
            listeners=",".join(f"{name}://{LOOPBACK}:{port}" for name, (port, _) in listeners.items()),
            advertised_listeners=",".join(f"{name}://{LOOPBACK}:{port}" for name, (_, port) in listeners.items()),
            protocols=",".join(f"{name}:PLAINTEXT" for name in listeners),
            log_dir=log_dir,
        )
        write_private(self.folder / name, text)


def _limit_config(topic: str, limit: TopicLimit) -> ConfigResource:
    values = {"retention.bytes": limit.retention_bytes, "segment.bytes": limit.segment_bytes}
    entries = [
        ConfigEntry(name, str(value), incremental_operation=AlterConfigOpType.SET) for name, value in values.items()
    ]
    return ConfigResource(ResourceType.TOPIC, topic, incremental_configs=entries)


def _make_cluster_id() -> str:
    while True:
        text = base64.urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode()
        if not text.startswith("-"):
            return text


def _make_silent_logger() -> logging.Logger:
    logger = logging.getLogger("rtaplatform.local.kafka.probe")
    logger.disabled = True
    return logger
