"""What checks of jobs look things up in: stores of one tenant, to be read only, made from settings in any process."""

from __future__ import annotations

from dataclasses import dataclass, replace

from sqlalchemy import Engine

from app.settings import AppSettings
from worker.jobs import database
from worker.jobs.artifacts import ArtifactStore
from worker.jobs.files import FileStore
from worker.jobs.store import JobStore
from worker.jobs.sweeps import SweepStore
from worker.settings import WorkerSettings
from worker.specs.simulation import SimulationLimits
from worker.specs.uploads import Uploads


@dataclass(frozen=True)
class CheckSettings:
    """The settings that checks know.

    Attributes:
        shared: settings that every process has the same.
        simulation: limits of a simulation.
    """

    shared: WorkerSettings
    simulation: SimulationLimits

    @classmethod
    def of(cls, settings: AppSettings, shared: WorkerSettings) -> CheckSettings:
        """Return the part of all settings that checks know."""
        return cls(shared, SimulationLimits(settings.max_simulated_steps, settings.max_simulated_gradients))


@dataclass(frozen=True)
class CheckServices:
    """Everything a check may look at; nothing is connected before it is needed.

    Attributes:
        settings: of the service.
        database: the engine below the stores, to be disposed of at the end.
        store: jobs.
        sweeps: jobs that belong together.
        artifacts: files of jobs.
        files: uploaded ones.
    """

    settings: CheckSettings
    database: Engine
    store: JobStore
    sweeps: SweepStore
    artifacts: ArtifactStore
    files: FileStore

    @classmethod
    def wire(cls, settings: CheckSettings) -> CheckServices:
        """Return the services."""
        engine = database.create(settings.shared.database_url)
        artifacts = ArtifactStore(settings.shared.artifacts_url)
        return cls(settings, engine, JobStore(engine), SweepStore(engine), artifacts, FileStore(engine, artifacts))

    def of(self, tenant: str) -> CheckServices:
        """Return the services as a tenant may use them."""
        return replace(self, store=self.store.of(tenant), sweeps=self.sweeps.of(tenant), files=self.files.of(tenant))

    @property
    def sources(self) -> Uploads:
        """The uploaded files, as checks ask for them."""
        return Uploads(self.files)
