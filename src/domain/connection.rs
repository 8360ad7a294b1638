//! Connections: where a system is and how to be let in. What each kind needs is plain data here;
//! who speaks to it is decided elsewhere.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use chrono_tz::Tz;
use strum::{EnumCount, VariantArray};

use super::allowance::CallAllowance;
use super::files::FilesSettings;
pub(crate) use super::secret::{OptionValue, Secret};
pub(crate) use super::service_kind::ServiceKind;
use super::share::Percent;

/// One `[connections.NAME]`.
#[derive(Debug, Clone)]
pub(crate) struct Connection {
    pub(crate) name: String,
    pub(crate) system: System,
    /// Where the wall clock of timestamps without a zone hangs, if the file says so.
    pub(crate) timezone: Option<Tz>,
    pub(crate) limits: Limits,
}

impl Connection {
    /// The file of a database that a driver writes to.
    pub(crate) fn file_of_driver(&self) -> Option<&PathBuf> {
        self.system.driver()?.file.as_ref()
    }

    /// Where it leads, whoever goes there.
    pub(crate) fn address(&self) -> String {
        match &self.system {
            System::Files(settings) => match &settings.remote {
                Some(remote) => remote.url.to_string(),
                None => format!("{:?}", settings.folder),
            },
            System::Sqlite(settings) => format!("{:?}", settings.file),
            System::Adbc(settings) => match &settings.file {
                Some(file) => format!("{file:?}"),
                None => format!("{} {:?}", settings.kind.name(), settings.driver),
            },
            System::Service(settings) => settings.address(),
            System::Postgres(settings) | System::Mysql(settings) => {
                let ServerSettings {
                    host,
                    port,
                    socket,
                    database,
                    ..
                } = settings;
                format!(
                    "{} {:?}",
                    self.system.kind(),
                    (host, port, socket, database)
                )
            }
        }
    }
}

/// What a connection leads to.
#[derive(Debug, Clone)]
pub(crate) enum System {
    /// A folder of CSV, Parquet and newline-delimited JSON files.
    Files(FilesSettings),
    Sqlite(SqliteSettings),
    Postgres(ServerSettings),
    Mysql(ServerSettings),
    /// A database that a driver of its own speaks to: DuckDB, Snowflake and others. It is read;
    /// only one that is a file is written.
    Adbc(AdbcSettings),
    /// A web API.
    Service(ServiceSettings),
}

/// What kinds of systems there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SystemKind {
    Files,
    Sqlite,
    Postgres,
    Mysql,
    Driver(DriverKind),
    Service(ServiceKind),
}

impl SystemKind {
    /// All of them, in the order in which people read them.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        [Self::Files, Self::Sqlite, Self::Postgres, Self::Mysql]
            .into_iter()
            .chain(DriverKind::ALL.map(Self::Driver))
            .chain(ServiceKind::ALL.map(Self::Service))
    }

    /// As `kind = "…"` names it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Files => "files",
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
            Self::Mysql => "mysql",
            Self::Driver(driver) => driver.name(),
            Self::Service(service) => service.name(),
        }
    }
}

/// What is reached through a driver of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, EnumCount, VariantArray)]
pub(crate) enum DriverKind {
    /// Any driver, by its own options.
    Adbc,
    Duckdb,
    Snowflake,
}

impl DriverKind {
    pub(crate) const ALL: [Self; Self::COUNT] = *Self::VARIANTS.first_chunk().expect("all of them");

    /// As `kind = "…"` names it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Adbc => "adbc",
            Self::Duckdb => "duckdb",
            Self::Snowflake => "snowflake",
        }
    }
}

/// A system as something that is read.
pub(crate) enum ReadSystem<'a> {
    Files,
    Sqlite,
    Postgres,
    Mysql,
    Driver(&'a AdbcSettings),
}

/// A database as something that is written.
pub(crate) enum WrittenDatabase {
    Sqlite,
    Postgres,
    Mysql,
    Duckdb,
}

impl System {
    /// As `kind = "…"` names it.
    pub(crate) fn kind(&self) -> &'static str {
        let kind = match self {
            Self::Files(_) => SystemKind::Files,
            Self::Sqlite(_) => SystemKind::Sqlite,
            Self::Postgres(_) => SystemKind::Postgres,
            Self::Mysql(_) => SystemKind::Mysql,
            Self::Adbc(settings) => SystemKind::Driver(settings.kind),
            Self::Service(settings) => SystemKind::Service(settings.kind),
        };
        kind.name()
    }

    /// As what it is read; `None` if it never is.
    pub(crate) fn read(&self) -> Option<ReadSystem<'_>> {
        match self {
            Self::Files(_) => Some(ReadSystem::Files),
            Self::Sqlite(_) => Some(ReadSystem::Sqlite),
            Self::Postgres(_) => Some(ReadSystem::Postgres),
            Self::Mysql(_) => Some(ReadSystem::Mysql),
            Self::Adbc(settings) => Some(ReadSystem::Driver(settings)),
            Self::Service(_) => None,
        }
    }

    /// As which database it is written; `None` if it is none, or never written.
    pub(crate) fn written(&self) -> Option<WrittenDatabase> {
        match self {
            Self::Sqlite(_) => Some(WrittenDatabase::Sqlite),
            Self::Postgres(_) => Some(WrittenDatabase::Postgres),
            Self::Mysql(_) => Some(WrittenDatabase::Mysql),
            Self::Adbc(settings) if settings.file.is_some() => Some(WrittenDatabase::Duckdb),
            Self::Files(_) | Self::Adbc(_) | Self::Service(_) => None,
        }
    }

    /// Why it is never written, if it never is.
    pub(crate) fn read_only(&self) -> Option<&'static str> {
        let is_written = self.written().is_some() || self.service().is_some();
        match self.files() {
            _ if is_written => None,
            Some(_) => Some("is a folder of files"),
            None => Some("is read through a driver"),
        }
    }

    pub(crate) fn files(&self) -> Option<&FilesSettings> {
        if let Self::Files(settings) = self {
            Some(settings)
        } else {
            None
        }
    }

    pub(crate) fn sqlite(&self) -> Option<&SqliteSettings> {
        if let Self::Sqlite(settings) = self {
            Some(settings)
        } else {
            None
        }
    }

    pub(crate) fn postgres(&self) -> Option<&ServerSettings> {
        if let Self::Postgres(settings) = self {
            Some(settings)
        } else {
            None
        }
    }

    pub(crate) fn mysql(&self) -> Option<&ServerSettings> {
        if let Self::Mysql(settings) = self {
            Some(settings)
        } else {
            None
        }
    }

    /// A database behind a driver of its own.
    pub(crate) fn driver(&self) -> Option<&AdbcSettings> {
        if let Self::Adbc(settings) = self {
            Some(settings)
        } else {
            None
        }
    }

    /// A web API.
    pub(crate) fn service(&self) -> Option<&ServiceSettings> {
        if let Self::Service(settings) = self {
            Some(settings)
        } else {
            None
        }
    }
}

/// A SQLite database.
#[derive(Debug, Clone)]
pub(crate) struct SqliteSettings {
    pub(crate) file: PathBuf,
    /// The name under which the file is attached, so that `"CRM"."ACCOUNTS"` works; `main` if
    /// absent.
    pub(crate) database: Option<String>,
    /// A script of SQL that makes the database when the file is absent; without it an absent file
    /// is an error.
    pub(crate) create_from: Option<PathBuf>,
}

/// A PostgreSQL or MySQL/MariaDB server.
#[derive(Debug, Clone)]
pub(crate) struct ServerSettings {
    pub(crate) host: String,
    pub(crate) port: u16,
    /// A Unix-domain socket's path instead of host and port (PostgreSQL: its folder).
    pub(crate) socket: Option<PathBuf>,
    pub(crate) user: String,
    pub(crate) password: Option<Secret>,
    /// The database to connect to; MySQL may do without.
    pub(crate) database: Option<String>,
    pub(crate) tls: Tls,
}

/// A database that is reached through an ADBC driver, a shared library that is loaded when it is
/// used. Source: <https://arrow.apache.org/adbc/current/index.html>.
#[derive(Debug, Clone)]
pub(crate) struct AdbcSettings {
    pub(crate) kind: DriverKind,
    pub(crate) driver: AdbcDriver,
    /// Names and values as the driver knows them, in the order in which it is given them.
    pub(crate) options: Vec<(String, OptionValue)>,
    /// The schema of tables that are named without one, where the driver's database has several.
    pub(crate) schema: Option<String>,
    /// The file that the database is. Only such a one is written, by one process at a time.
    pub(crate) file: Option<PathBuf>,
    /// A script of SQL that makes the file when it is absent.
    pub(crate) create_from: Option<PathBuf>,
    /// Whether whoever reads the file also writes to it in the same run.
    pub(crate) is_written_meanwhile: bool,
}

/// How a driver is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum AdbcDriver {
    /// By the name of its manifest, or by the absolute path of a manifest or a library.
    Named(String),
    /// By a connection profile, which names the driver and holds options of its own.
    Profile(String),
}

/// A web API: where it is, how to be let in, and how much of it may be taken.
#[derive(Debug, Clone)]
pub(crate) struct ServiceSettings {
    pub(crate) kind: ServiceKind,
    pub(crate) access: ServiceAccess,
    /// The one account that may be touched, as the API numbers it: an org, a portal, a
    /// corporation. Without it, whichever the credentials lead to.
    pub(crate) account: Option<String>,
    /// How much of the account's calls may be used up, other programs' use counted too.
    pub(crate) quota_share: Percent,
    /// How many calls the account has, where the API does not tell: they are counted here.
    pub(crate) allowance: Option<CallAllowance>,
    /// Requests that all jobs of this process together may begin in a second.
    pub(crate) requests_per_second: Option<u32>,
    /// How a write-back writes, where only this API knows what that means.
    pub(crate) options: SalesforceOptions,
    /// As `options`, of Dataverse.
    pub(crate) dataverse: DataverseOptions,
    /// How far the API's search is behind what is written, where it has one and somebody says so.
    pub(crate) search_lag: Option<Duration>,
    /// The version of the API; without it, the newest that this program was tested with.
    pub(crate) api_version: Option<String>,
    /// The project's folder of state, in which single-use tokens are kept.
    pub(crate) state_folder: PathBuf,
}

impl ServiceSettings {
    /// Where it leads, whoever goes there.
    fn address(&self) -> String {
        let place = match &self.access {
            ServiceAccess::Practice { folder } => format!("practice {folder:?}"),
            ServiceAccess::Live(live) => live.login_url.clone(),
        };
        format!("{} {place} {:?}", self.kind.name(), self.account)
    }
}

/// Whether an admin's rules apply to what is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum RuleUse {
    #[default]
    Enforced,
    Bypassed,
}

/// How a write-back writes to Salesforce.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct SalesforceOptions {
    pub(crate) duplicate_rules: RuleUse,
    /// Assignment rules give records to other owners.
    pub(crate) assigns: bool,
    /// Updates from which on they go in bulk; `None`: never.
    pub(crate) bulk_from: Option<NonZeroU32>,
}

/// What of an environment's own logic is passed over when a write-back writes to Dataverse.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct DataverseOptions {
    /// Custom plug-ins and workflows.
    pub(crate) bypassed_logic: Vec<CustomLogic>,
    /// Single steps of plug-ins, by their GUIDs.
    pub(crate) bypassed_steps: Vec<String>,
    /// Flows of Power Automate.
    pub(crate) bypasses_flows: bool,
}

impl DataverseOptions {
    /// Whether it takes a privilege of its own.
    pub(crate) fn bypasses_logic(&self) -> bool {
        !self.bypassed_logic.is_empty() || !self.bypassed_steps.is_empty()
    }

    /// What is passed over, in words; `None` if nothing is.
    pub(crate) fn words(&self) -> Option<String> {
        let logic = self.bypassed_logic.iter().map(|logic| match logic {
            CustomLogic::Sync => "custom plug-ins and workflows within a request".to_owned(),
            CustomLogic::Async => "custom plug-ins and workflows behind a request".to_owned(),
        });
        let steps = (!self.bypassed_steps.is_empty())
            .then(|| format!("plug-in steps {}", self.bypassed_steps.join(", ")));
        let flows = self
            .bypasses_flows
            .then(|| "flows of Power Automate".to_owned());
        let all: Vec<String> = logic.chain(steps).chain(flows).collect();
        (!all.is_empty()).then(|| all.join("; "))
    }
}

/// Custom logic, by when it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CustomLogic {
    Sync,
    Async,
}

impl CustomLogic {
    /// As the API's header names it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Sync => "CustomSync",
            Self::Async => "CustomAsync",
        }
    }
}

/// How a web API is reached.
#[derive(Debug, Clone)]
pub(crate) enum ServiceAccess {
    Live(Box<LiveAccess>),
    /// The stand-in that is part of the program, which serves what stands in a folder.
    Practice {
        folder: PathBuf,
    },
}

/// The hosts of a web API and the credentials for them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LiveAccess {
    /// Scheme, host and port of the log-in, without a slash at the end.
    pub(crate) login_url: String,
    /// The same of the data calls, where the host that the log-in tells is not to be taken.
    pub(crate) api_url: Option<String>,
    pub(crate) auth: Auth,
    /// Who may vouch for the hosts, instead of those whom this machine trusts.
    pub(crate) ca_file: Option<PathBuf>,
}

/// A way to log in to a web API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Auth {
    ClientCredentials {
        client_id: String,
        client_secret: Secret,
    },
    /// A JSON web token, signed with a private key in PEM.
    JwtBearer {
        client_id: String,
        user: String,
        private_key: Secret,
    },
    /// A token that is given as it is and stays good until somebody takes it back.
    Token { token: Secret },
    /// An app of a tenant of Entra.
    Tenant {
        /// Its domain or its id.
        tenant: String,
        client_id: String,
        proof: TenantProof,
    },
    RefreshToken {
        client_id: String,
        client_secret: Option<Secret>,
        refresh_token: Secret,
    },
    /// A user's own name and password, beside those of the app.
    Password {
        client_id: String,
        client_secret: Secret,
        user: String,
        password: Secret,
    },
}

/// How an app of a tenant proves that it is the one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TenantProof {
    Secret(Secret),
    /// Both in PEM; the certificate is the one that the tenant holds.
    Certificate {
        certificate: String,
        private_key: Secret,
    },
}

impl TenantProof {
    /// What nobody may read.
    pub(crate) fn secret(&self) -> &Secret {
        match self {
            Self::Secret(secret) => secret,
            Self::Certificate { private_key, .. } => private_key,
        }
    }
}

/// How a server is to prove who it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Tls {
    /// Plain text: the default for local hosts, asked for elsewhere.
    Off,
    /// Encrypted, certificate and host name verified: the default for hosts that are not local.
    Verified { ca_file: Option<PathBuf> },
}

/// Bounds on waiting and on parallel work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Limits {
    pub(crate) connect_timeout: Duration,
    /// One statement's time on the server; of a web API, one request's until its answer is in.
    pub(crate) statement_timeout: Duration,
    /// Waiting for somebody else's lock.
    pub(crate) lock_timeout: Duration,
    /// Attempts at one batch when its failure may pass.
    pub(crate) attempts_max: u32,
    /// Batches written at once.
    pub(crate) writers: usize,
}

impl Limits {
    /// How long a writer's transaction may lie open between two statements. Between them stand a
    /// decision and a note in the ledger, which a slow disk may take seconds for; a writer that
    /// takes longer is stopped or out of reach, and others wait for its locks. Never longer than an
    /// answer to a statement is waited for, so that the locks of a connection that was given up for
    /// lost are gone when its batch is tried again.
    pub(crate) fn idle_max(&self) -> Duration {
        self.statement_timeout
            .clamp(Duration::from_secs(10), Duration::from_secs(60))
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(10),
            statement_timeout: Duration::from_secs(300),
            lock_timeout: Duration::from_secs(5),
            attempts_max: 6,
            writers: 2,
        }
    }
}
