//! What is measured: two sides of each work, in turn, on the same rows.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use clap::ValueEnum;
use serde::Serialize;
use tempfile::TempDir;

use crate::Fault;
use crate::crm::{Crm, Database};
use crate::data::{Accounts, Export};
use crate::duckdb;
use crate::measure::{Sample, Samples, run};
use crate::progress;
use crate::project::{BeforeImages, Project, SCHEMA, duckdb_connection, files_connection};
use crate::servers::Folder;

/// Records of a batch, in the works.
pub(crate) const BATCH_SIZE: u64 = 5000;

/// Of so many records one is different, where few are.
const RECORDS_PER_DIFFERENT: u64 = 100;

/// A part of the benchmark, as `--only` names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Part {
    /// CSV to PostgreSQL, all different
    Postgres,
    /// The same with before-images kept
    BeforeImages,
    /// The same again, nothing different
    Unchanged,
    /// The same with 1 % different
    OnePercent,
    /// A preview of the same, nothing different
    Preview,
    /// CSV to MariaDB, all different
    Mariadb,
    /// The same again, nothing different
    MariadbUnchanged,
    /// CSV to SQLite, all different
    Sqlite,
    /// The same again, nothing different
    SqliteUnchanged,
    /// PostgreSQL to PostgreSQL, all different
    FromPostgres,
    /// Parquet to PostgreSQL, all different
    FromParquet,
    /// DuckDB to PostgreSQL, all different
    FromDuckdb,
    /// Ten times the records: memory, and time per record
    TenTimes,
    /// The batch size curve
    BatchSize,
    /// A small job, and `--help`
    Start,
}

/// Whoever brings the table from one state to the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Side {
    Psql,
    Writeback,
    WritebackAgain,
    WritebackPreview,
    WritebackBeforeImages,
    WritebackOnePercent,
    WritebackFromParquet,
    WritebackFromDuckDb,
    PsqlPiped,
    WritebackFromPostgres,
    MariaDbClient,
    WritebackToMariaDb,
    WritebackToMariaDbAgain,
    SqliteShell,
    WritebackToSqlite,
    WritebackToSqliteAgain,
}

impl Side {
    /// In the order in which they take turns.
    const ALL: [Self; 16] = [
        Self::Psql,
        Self::Writeback,
        Self::WritebackAgain,
        Self::WritebackPreview,
        Self::WritebackBeforeImages,
        Self::WritebackOnePercent,
        Self::WritebackFromParquet,
        Self::WritebackFromDuckDb,
        Self::PsqlPiped,
        Self::WritebackFromPostgres,
        Self::MariaDbClient,
        Self::WritebackToMariaDb,
        Self::WritebackToMariaDbAgain,
        Self::SqliteShell,
        Self::WritebackToSqlite,
        Self::WritebackToSqliteAgain,
    ];

    fn database(self) -> Database {
        match self {
            Self::Psql
            | Self::Writeback
            | Self::WritebackAgain
            | Self::WritebackPreview
            | Self::WritebackBeforeImages
            | Self::WritebackOnePercent
            | Self::WritebackFromParquet
            | Self::WritebackFromDuckDb
            | Self::PsqlPiped
            | Self::WritebackFromPostgres => Database::Postgres,
            Self::MariaDbClient | Self::WritebackToMariaDb | Self::WritebackToMariaDbAgain => {
                Database::MariaDb
            }
            Self::SqliteShell | Self::WritebackToSqlite | Self::WritebackToSqliteAgain => {
                Database::Sqlite
            }
        }
    }

    fn way(self) -> Way {
        match self {
            Self::Psql | Self::MariaDbClient | Self::SqliteShell => Way::ByHand,
            Self::PsqlPiped => Way::ByHandPiped,
            Self::Writeback
            | Self::WritebackAgain
            | Self::WritebackPreview
            | Self::WritebackBeforeImages
            | Self::WritebackToMariaDb
            | Self::WritebackToMariaDbAgain
            | Self::WritebackToSqlite
            | Self::WritebackToSqliteAgain => Way::Program(From::Csv),
            Self::WritebackOnePercent => Way::Program(From::OnePercentCsv),
            Self::WritebackFromParquet => Way::Program(From::Parquet),
            Self::WritebackFromDuckDb => Way::Program(From::DuckDb),
            Self::WritebackFromPostgres => Way::Program(From::Dashboard),
        }
    }

    /// Whether the table holds what is written already: the side before wrote it.
    fn is_again(self) -> bool {
        match self {
            Self::WritebackAgain
            | Self::WritebackPreview
            | Self::WritebackToMariaDbAgain
            | Self::WritebackToSqliteAgain => true,
            Self::Psql
            | Self::Writeback
            | Self::WritebackBeforeImages
            | Self::WritebackOnePercent
            | Self::WritebackFromParquet
            | Self::WritebackFromDuckDb
            | Self::PsqlPiped
            | Self::WritebackFromPostgres
            | Self::MariaDbClient
            | Self::WritebackToMariaDb
            | Self::SqliteShell
            | Self::WritebackToSqlite => false,
        }
    }

    fn images(self) -> BeforeImages {
        if self == Self::WritebackBeforeImages {
            BeforeImages::Kept
        } else {
            BeforeImages::NotKept
        }
    }
}

/// How a side writes.
enum Way {
    /// SQL by hand, out of a CSV file.
    ByHand,
    /// SQL by hand, out of what another client reads from the dashboard's database.
    ByHandPiped,
    Program(From),
}

/// Where the program under test reads.
enum From {
    Csv,
    OnePercentCsv,
    Parquet,
    DuckDb,
    Dashboard,
}

/// One line of the table: a side, who it is held against, and how much of the other's time it may
/// take.
pub(crate) struct Work {
    pub(crate) part: Part,
    pub(crate) title: &'static str,
    pub(crate) against_title: &'static str,
    side: Side,
    against: Side,
    ratio_max: f64,
}

const WORKS: [Work; 12] = [
    Work {
        part: Part::Postgres,
        title: "CSV → PostgreSQL, all different",
        against_title: "psql \\copy + UPDATE",
        side: Side::Writeback,
        against: Side::Psql,
        ratio_max: 0.50,
    },
    Work {
        part: Part::BeforeImages,
        title: "the same, before-images kept",
        against_title: "psql \\copy + UPDATE",
        side: Side::WritebackBeforeImages,
        against: Side::Psql,
        ratio_max: 0.58,
    },
    Work {
        part: Part::Unchanged,
        title: "the same again, nothing different",
        against_title: "psql \\copy + UPDATE",
        side: Side::WritebackAgain,
        against: Side::Psql,
        ratio_max: 0.15,
    },
    Work {
        part: Part::OnePercent,
        title: "1 % different",
        against_title: "psql \\copy + UPDATE",
        side: Side::WritebackOnePercent,
        against: Side::Psql,
        ratio_max: 0.18,
    },
    Work {
        part: Part::Preview,
        title: "preview, nothing different",
        against_title: "psql \\copy + UPDATE",
        side: Side::WritebackPreview,
        against: Side::Psql,
        ratio_max: 0.18,
    },
    Work {
        part: Part::Mariadb,
        title: "CSV → MariaDB, all different",
        against_title: "mariadb LOAD DATA + UPDATE",
        side: Side::WritebackToMariaDb,
        against: Side::MariaDbClient,
        ratio_max: 0.45,
    },
    Work {
        part: Part::MariadbUnchanged,
        title: "the same again, nothing different",
        against_title: "mariadb LOAD DATA + UPDATE",
        side: Side::WritebackToMariaDbAgain,
        against: Side::MariaDbClient,
        ratio_max: 0.12,
    },
    Work {
        part: Part::Sqlite,
        title: "CSV → SQLite, all different",
        against_title: "sqlite3 .import + UPDATE",
        side: Side::WritebackToSqlite,
        against: Side::SqliteShell,
        ratio_max: 0.55,
    },
    Work {
        part: Part::SqliteUnchanged,
        title: "the same again, nothing different",
        against_title: "sqlite3 .import + UPDATE",
        side: Side::WritebackToSqliteAgain,
        against: Side::SqliteShell,
        ratio_max: 0.25,
    },
    Work {
        part: Part::FromPostgres,
        title: "PostgreSQL → PostgreSQL",
        against_title: "psql COPY into the same",
        side: Side::WritebackFromPostgres,
        against: Side::PsqlPiped,
        ratio_max: 0.75,
    },
    Work {
        part: Part::FromParquet,
        title: "Parquet → PostgreSQL",
        against_title: "CSV → PostgreSQL",
        side: Side::WritebackFromParquet,
        against: Side::Writeback,
        ratio_max: 1.0,
    },
    Work {
        part: Part::FromDuckdb,
        title: "DuckDB → PostgreSQL",
        against_title: "Parquet → PostgreSQL",
        side: Side::WritebackFromDuckDb,
        against: Side::WritebackFromParquet,
        ratio_max: 1.0,
    },
];

/// What came of a work; without samples it was not measured.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Compared {
    pub(crate) work: &'static str,
    pub(crate) against: &'static str,
    pub(crate) ratio_max: f64,
    /// Of the medians; `None` if it was not measured.
    pub(crate) ratio: Option<f64>,
    pub(crate) side: Samples,
    pub(crate) other_side: Samples,
}

/// The samples of all sides.
#[derive(Default)]
pub(crate) struct Measured(BTreeMap<Side, Samples>);

impl Measured {
    /// The chosen works, in the table's order.
    pub(crate) fn compared(&self, parts: &[Part]) -> Vec<Compared> {
        let chosen = WORKS.iter().filter(|work| parts.contains(&work.part));
        chosen.map(|work| self.compare(work)).collect()
    }

    /// The first run: CSV to PostgreSQL, all different.
    pub(crate) fn first_run(&self) -> Samples {
        self.samples(Side::Writeback)
    }

    fn compare(&self, work: &Work) -> Compared {
        let (side, other_side) = (self.samples(work.side), self.samples(work.against));
        let ratio = side.elapsed().median.as_secs_f64() / other_side.elapsed().median.as_secs_f64();
        let measured = !side.is_empty() && !other_side.is_empty();
        let (work, against, ratio_max) = (work.title, work.against_title, work.ratio_max);
        Compared {
            work,
            against,
            ratio_max,
            ratio: measured.then_some(ratio),
            side,
            other_side,
        }
    }

    fn samples(&self, side: Side) -> Samples {
        self.0.get(&side).cloned().unwrap_or_default()
    }
}

/// Databases that the chosen parts need.
pub(crate) fn databases(parts: &[Part]) -> Vec<Database> {
    let sides = sides(parts);
    let others = [Part::TenTimes, Part::BatchSize, Part::Start]
        .iter()
        .any(|part| parts.contains(part));
    let needed = |database: &Database| {
        sides.iter().any(|side| side.database() == *database)
            || (others && *database == Database::Postgres)
    };
    Database::ALL.into_iter().filter(needed).collect()
}

/// The sides that the chosen works have, in the order of their turns.
pub(crate) fn sides(parts: &[Part]) -> Vec<Side> {
    let chosen = |work: &&Work| parts.contains(&work.part);
    let mut sides: Vec<Side> = WORKS
        .iter()
        .filter(chosen)
        .flat_map(|work| [work.side, work.against])
        .collect();
    if parts.contains(&Part::TenTimes) {
        sides.push(Side::Writeback);
    }
    Side::ALL
        .into_iter()
        .filter(|side| sides.contains(side))
        .collect()
}

/// Where the sides of one database are measured.
struct Stand {
    accounts: Accounts,
    crm: Crm,
    folder: TempDir,
    projects: BTreeMap<Side, Project>,
}

/// Measures the sides of one database that are among `sides`, each `repeats` times after a warm-up,
/// in turn.
pub(crate) fn measure(
    database: Database,
    sides: &[Side],
    accounts: Accounts,
    repeats: usize,
    root: &Folder,
    measured: &mut Measured,
) -> Result<(), Fault> {
    let sides: Vec<Side> = sides
        .iter()
        .copied()
        .filter(|side| side.database() == database)
        .collect();
    if sides.is_empty() {
        return Ok(());
    }
    progress(&format!("{}: making the data", database.title()));
    let stand = Stand::prepare(database, &sides, accounts, root)?;
    for round in 0..=repeats {
        for side in &sides {
            let sample = stand
                .measure(*side)
                .map_err(|error| format!("{side:?}: {error}"))?;
            let turn = if round == 0 {
                "warm-up".to_owned()
            } else {
                format!("{round} of {repeats}")
            };
            progress(&format!(
                "{side:?}, {turn}: {:.2} s",
                sample.elapsed.as_secs_f64()
            ));
            if round > 0 {
                measured.0.entry(*side).or_default().push(sample);
            }
        }
    }
    Ok(())
}

impl Stand {
    fn prepare(
        database: Database,
        sides: &[Side],
        accounts: Accounts,
        root: &Folder,
    ) -> Result<Self, Fault> {
        let folder = root.folder()?;
        for name in ["different", "one_percent", "parquet"] {
            fs::create_dir(folder.path().join(name))?;
        }
        let crm = Crm::start(database, accounts.records, root)?;
        crm.keep(accounts)?;
        let mut stand = Self {
            accounts,
            crm,
            folder,
            projects: BTreeMap::new(),
        };
        stand.write_exports(sides)?;
        for side in sides {
            if let Way::Program(from) = side.way() {
                stand.add_project(*side, &from)?;
            }
        }
        Ok(stand)
    }

    fn write_exports(&self, sides: &[Side]) -> Result<(), Fault> {
        let accounts = self.accounts;
        accounts.write_csv(accounts.different(), &self.different())?;
        if sides.contains(&Side::WritebackOnePercent) {
            accounts.write_csv(
                self.one_percent(),
                &self.folder.path().join("one_percent/health_score.csv"),
            )?;
        }
        if sides.contains(&Side::WritebackFromParquet) {
            accounts.write_parquet(
                accounts.different(),
                &self.folder.path().join("parquet/health_score.parquet"),
            )?;
        }
        if sides.contains(&Side::WritebackFromDuckDb) {
            duckdb::import_apart(&self.different(), &self.duckdb())?;
        }
        if sides.contains(&Side::PsqlPiped) {
            self.crm.add_dashboard(&self.different(), SCHEMA)?;
        }
        Ok(())
    }

    fn add_project(&mut self, side: Side, from: &From) -> Result<(), Fault> {
        let source = match from {
            From::Csv => files_connection(&self.folder.path().join("different")),
            From::OnePercentCsv => files_connection(&self.folder.path().join("one_percent")),
            From::Parquet => files_connection(&self.folder.path().join("parquet")),
            From::DuckDb => duckdb_connection(&self.duckdb()),
            From::Dashboard => self.crm.dashboard_connection(),
        };
        let folder = self.folder.path().join(format!("{side:?}"));
        let project = Project::create(
            folder,
            &source,
            &self.crm.connection(),
            BATCH_SIZE,
            side.images(),
        )?;
        self.projects.insert(side, project);
        Ok(())
    }

    /// Brings the table to the state before, lets the side do its work, and looks whether it did.
    fn measure(&self, side: Side) -> Result<Sample, Fault> {
        let again = side.is_again();
        if again {
            self.crm.settle()?
        } else {
            self.crm.reset()?
        }
        let export = match side.way() {
            Way::Program(From::OnePercentCsv) => self.one_percent(),
            Way::ByHand
            | Way::ByHandPiped
            | Way::Program(From::Csv | From::Parquet | From::DuckDb | From::Dashboard) => {
                self.accounts.different()
            }
        };
        let sample = match side.way() {
            Way::ByHand => run(self.crm.by_hand(&self.different())?)?.sample,
            Way::ByHandPiped => run(self.crm.by_hand_from_dashboard()?)?.sample,
            Way::Program(_) => {
                let project = self.projects.get(&side).ok_or("no project")?;
                let updated = if again { 0 } else { export.changed };
                match side == Side::WritebackPreview {
                    true => project.preview(export, updated)?,
                    false => project.run(export, updated)?,
                }
            }
        };
        self.crm.compare(self.accounts, export)?;
        Ok(sample)
    }

    fn different(&self) -> PathBuf {
        self.folder.path().join("different/health_score.csv")
    }

    fn duckdb(&self) -> PathBuf {
        self.folder.path().join("health_score.duckdb")
    }

    fn one_percent(&self) -> Export {
        let records = self.accounts.records;
        Export {
            records,
            changed: records / RECORDS_PER_DIFFERENT,
        }
    }
}
