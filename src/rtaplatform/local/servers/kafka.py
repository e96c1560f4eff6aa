"""Apache Kafka, one node, KRaft: broker and controller in one small Java process on loopback.

In: a folder, two ports, the jars' cache. Out: `127.0.0.1:port`, PLAINTEXT, for this machine only.
Promised: what was acknowledged survives a kill -9 of the process (it is in the page cache), not a power cut.
Paths in its configuration are relative to its folder: a properties file is Latin-1 and takes commas for lists.
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
from rtaplatform.local.servers.jars import LOCK, class_path
from rtaplatform.local.servers.java import Java, find_java
from rtaplatform.local.servers.log_limits import TopicLimit, share_out
from rtaplatform.local.supervisor.child_process import Command, plain_environment, run_to_its_end
from rtaplatform.local.supervisor.embedded_server import Say

# Compiling in one tier starts a third faster and takes less memory; a broker for one machine is not bound by it.
JAVA_FLAGS = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xss512k", "-XX:+ExitOnOutOfMemoryError")
FORMAT_SECONDS_MAX = 120
_OUR_TOPICS = "rta."
_LIMIT_SECONDS_MAX = 10.0

# A killed broker may come back once its session is over, and a killed worker's partitions be taken over once its is.
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

    For tests: `extra_listeners`, by name the port it listens on, and the one that its clients are told, a proxy's; and
    `lock_file`, the jars of another version.
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
        self._jars = class_path(self.cache, say, repository_url=self.repository_url, lock_file=self.lock_file)
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(self.folder / "log4j2.properties", LOGGING)
        if not (self.folder / "log" / "meta.properties").exists():
            say("Formatting Kafka's log, once")
            self._format()
        self._write_properties("server.properties", "log")

    def command(self) -> Command:
        argv = self._java_command(self._archive().flags(), "kafka.Kafka", "server.properties")
        return Command(argv, self.folder, plain_environment())

    def speed_up(self) -> Command | None:
        """What to run once, when there is time, so that later starts are faster; None where nothing is to do."""
        archive = self._archive()
        if archive.path.exists() or not (self.folder / CLASS_LIST).exists():
            return None
        return Command(archive.making(self.folder, self._heap_flags() + JAVA_FLAGS), self.folder, plain_environment())

    def speeded_up(self) -> None:
        """To be called when the command of `speed_up` has succeeded."""
        self._archive().made(self.folder)

    def look(self) -> None:
        """It needs nothing."""

    def answers(self) -> bool:
        """Whether the broker gives its cluster metadata."""
        if self._client is None:
            options: dict[str, str | int | float | bool] = {
                "bootstrap.servers": self.bootstrap_servers,
                "reconnect.backoff.max.ms": 200,
            }
            self._client = AdminClient(options, logger=_silent_logger())
        try:
            return bool(self._client.list_topics(timeout=0.3).brokers)
        except KafkaException:
            return False

    def limit_topics(self) -> None:
        """Have our topics keep `bytes_max` in all. Call it when they are made; raises SetupError."""
        admin = AdminClient({"bootstrap.servers": self.bootstrap_servers}, logger=_silent_logger())
        try:
            found = admin.list_topics(timeout=_LIMIT_SECONDS_MAX).topics
            ours = {name: len(topic.partitions) for name, topic in found.items() if name.startswith(_OUR_TOPICS)}
            limits = share_out(self.bytes_max, ours, frozenset(EVENT_TOPICS))
            wanted = [_config_of(topic, limit) for topic, limit in limits.items()]
            for future in admin.incremental_alter_configs(wanted).values() if wanted else ():
                future.result(_LIMIT_SECONDS_MAX)
        except (KafkaException, TimeoutError) as error:
            raise SetupError(f"Kafka takes no limit of its disk use: {error}", "Start again.") from error

    def _format(self) -> None:
        # In a folder of its own first: a format that was interrupted leaves nothing that looks formatted.
        for leftover in ("log", "log.new"):
            shutil.rmtree(self.folder / leftover, ignore_errors=True)
        self._write_properties("format.properties", "log.new")
        arguments = ("format", "--standalone", "-t", _cluster_id(), "-c", "format.properties")
        flags = self._archive().flags() if self._archive().path.exists() else ()
        argv = self._java_command(flags, "kafka.tools.StorageTool", *arguments)
        command = Command(argv, self.folder, plain_environment())
        done = run_to_its_end(command, FORMAT_SECONDS_MAX)
        if done.returncode != 0:
            raise SetupError(
                f"Kafka's folder cannot be formatted:\n{(done.stdout + done.stderr)[-1500:].strip()}",
                f"See whether {self.folder} is on a full or read-only disk.",
            )
        (self.folder / "log.new").rename(self.folder / "log")

    def _java_command(self, flags: tuple[str, ...], main_class: str, *arguments: str) -> tuple[str, ...]:
        assert self._java is not None, "prepare() comes first"
        options = ("-Dlog4j2.configurationFile=log4j2.properties", "-cp", self._class_path())
        return (str(self._java.program), *self._heap_flags(), *JAVA_FLAGS, *flags, *options, main_class, *arguments)

    def _heap_flags(self) -> tuple[str, ...]:
        return (f"-Xmx{self.heap_mb}m", "-Xms64m")

    def _class_path(self) -> str:
        return ":".join(map(str, self._jars))

    def _archive(self) -> ClassArchive:
        assert self._java is not None, "prepare() comes first"
        return ClassArchive(self.cache / "classes", self._java, self._class_path())

    def _write_properties(self, name: str, log_dir: str) -> None:
        ours = {"PLAINTEXT": (self.port, self.port), "CONTROLLER": (self.controller_port, self.controller_port)}
        listeners = ours | dict(self.extra_listeners)
        text = PROPERTIES.format(
            host=LOOPBACK,
            controller_port=self.controller_port,
            listeners=",".join(f"{name}://{LOOPBACK}:{port}" for name, (port, _) in listeners.items()),
            advertised_listeners=",".join(f"{name}://{LOOPBACK}:{port}" for name, (_, port) in listeners.items()),
            protocols=",".join(f"{name}:PLAINTEXT" for name in listeners),
            log_dir=log_dir,
        )
        write_private(self.folder / name, text)


def _config_of(topic: str, limit: TopicLimit) -> ConfigResource:
    values = {"retention.bytes": limit.retention_bytes, "segment.bytes": limit.segment_bytes}
    entries = [
        ConfigEntry(name, str(value), incremental_operation=AlterConfigOpType.SET) for name, value in values.items()
    ]
    return ConfigResource(ResourceType.TOPIC, topic, incremental_configs=entries)


def _cluster_id() -> str:
    while True:
        text = base64.urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode()
        if not text.startswith("-"):
            return text


def _silent_logger() -> logging.Logger:
    logger = logging.getLogger("rtaplatform.local.kafka.probe")
    logger.disabled = True
    return logger
