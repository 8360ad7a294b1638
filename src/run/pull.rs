//! Pulling: a source's chunks, conformed to the schema and mapped to fields, become a package.
//! Records that do not fit go to whoever keeps account of them.

use std::path::{Path, PathBuf};

use polars::prelude::{DataFrame, PolarsError};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, block_in_place};
use tracing::warn;

use crate::domain::error::{SystemError, chain};
use crate::domain::outcome::{Rejection, Tally};
use crate::domain::parking::LeftAlone;
use crate::domain::places::Stretch;
use crate::ledger::{Ledger, LedgerError, WriteBackId};
use crate::package::{self, Package, PackageError, PackageWriter};
use crate::run::plan::Plan;
use crate::run::progress::Progress;
use crate::run::resolver::{Resolved, Resolver};
use crate::run::selection::{Selected, Selection};
use crate::run::shared_rows;
use crate::run::stop::Stop;
use crate::run::walker::Sharing;
use crate::source::{AnySource, Pulled, Source};

/// Why a write-back's records could not be pulled.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PullError {
    #[error("could not read `{write_back}` from `{connection}`")]
    Failed {
        write_back: String,
        connection: String,
        source: Box<SystemError>,
    },
    #[error("could not look up references of `{write_back}` in `{connection}`")]
    Refer {
        write_back: String,
        connection: String,
        source: Box<SystemError>,
    },
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error(transparent)]
    Package(#[from] PackageError),
    #[error("records that share a row could not be compared")]
    Led(#[source] PolarsError),
    #[error("a worker stopped unexpectedly")]
    Worker(#[from] tokio::task::JoinError),
    #[error("it was asked to stop")]
    Interrupted,
}

impl PullError {
    /// Whether packages that stand are not to blame, so that a run that ended so can be taken up.
    pub(crate) fn leaves_packages_usable(&self) -> bool {
        match self {
            Self::Failed { .. } | Self::Refer { .. } | Self::Led(_) => false,
            Self::Package(error) => error.leaves_package_usable(),
            Self::Ledger(_) | Self::Worker(_) | Self::Interrupted => true,
        }
    }

    /// The next thing to do, if it is known.
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::Failed { source, .. } | Self::Refer { source, .. } => source.hint(),
            Self::Ledger(error) => error.hint(),
            Self::Package(error) => error.hint(),
            Self::Led(_) | Self::Worker(_) | Self::Interrupted => None,
        }
    }
}

/// Who keeps account of the records that a pull does not put into the package.
pub(crate) trait Account {
    async fn reject(&mut self, rejections: Vec<Rejection>) -> Result<(), PullError>;

    /// Parked records were left alone.
    async fn leave_alone(&mut self, records: Vec<LeftAlone>) -> Result<(), PullError>;
}

/// A run keeps it in the ledger.
pub(crate) struct LedgerAccount<'a> {
    pub(crate) ledger: &'a Ledger,
    pub(crate) id: WriteBackId,
}

impl Account for LedgerAccount<'_> {
    async fn reject(&mut self, rejections: Vec<Rejection>) -> Result<(), PullError> {
        Ok(self.ledger.record_rejections(self.id, &rejections).await?)
    }

    async fn leave_alone(&mut self, records: Vec<LeftAlone>) -> Result<(), PullError> {
        Ok(self.ledger.record_left_alone(self.id, &records).await?)
    }
}

/// A finished pull.
pub(crate) struct PulledPackage {
    pub(crate) package: Package,
    /// Records read, rejected, and skipped because they are parked; what becomes of the others is
    /// not known yet.
    pub(crate) tally: Tally,
    /// By how many rows those are shared that records were led to, where a way leads there.
    pub(crate) sharing: Option<Sharing>,
}

/// A write-back that records are pulled for, as far as they are selected, and where its package is to
/// stand.
pub(crate) struct Intake<'a, A> {
    pub(crate) plan: &'a mut Plan,
    pub(crate) folder: &'a Path,
    pub(crate) selection: &'a mut Selection,
    pub(crate) account: A,
}

/// Pulls the records of one source once, for each of several write-backs of the same schema. One
/// whose references cannot be looked up has no package, and keeps no other from its own.
/// Errors: none of them has a package.
pub(crate) async fn pull<A: Account>(
    mut intakes: Vec<Intake<'_, A>>,
    progress: &dyn Progress,
    stop: &Stop,
) -> Result<Vec<Result<PulledPackage, PullError>>, PullError> {
    let Some((first, others)) = intakes.split_first_mut() else {
        return Ok(Vec::new());
    };
    let (write_back, connection) = (
        first.plan.write_back.name.clone(),
        first.plan.source.name.clone(),
    );
    let failed = |source| PullError::Failed {
        write_back: write_back.clone(),
        connection: connection.clone(),
        source: Box::new(source),
    };
    let source = first.plan.open_source().await.map_err(failed)?;
    for intake in others {
        intake.plan.read_answers().await.map_err(failed)?;
    }
    let mut takings: Vec<Taking<'_, A>> = intakes.into_iter().map(Taking::of).collect();
    let taken = take_all(source, &failed, &mut takings, progress, stop).await;
    let mut packages = Vec::new();
    for taking in takings {
        packages.extend(taking.finish(taken.is_ok()).await?);
    }
    taken.map(|()| packages)
}

async fn take_all<A: Account>(
    source: AnySource,
    failed: &impl Fn(SystemError) -> PullError,
    takings: &mut [Taking<'_, A>],
    progress: &dyn Progress,
    stop: &Stop,
) -> Result<(), PullError> {
    let mut chunks = ReadAhead::begin(source);
    for taking in &mut *takings {
        taking.begin()?;
    }
    while let Some(pulled) = chunks.next().await? {
        let pulled = pulled.map_err(failed)?;
        if stop.is_asked() {
            return Err(PullError::Interrupted);
        }
        let mut working = takings
            .iter()
            .filter(|taking| taking.failed.is_none())
            .count();
        for taking in takings.iter_mut().filter(|taking| taking.failed.is_none()) {
            match taking.take(pulled.clone()).await {
                Ok(()) => progress.pulled(&taking.plan.write_back.name, taking.tally.read),
                Err(error @ PullError::Refer { .. }) if working > 1 => {
                    working -= 1;
                    taking.fail(error).await;
                }
                Err(error) => return Err(error),
            }
        }
    }
    Ok(())
}

/// One of them, at work.
struct Taking<'a, A> {
    plan: &'a Plan,
    folder: &'a Path,
    selection: &'a mut Selection,
    account: A,
    resolver: Resolver<'a>,
    /// Absent before it begins, and after it failed.
    packing: Option<Packing>,
    /// Why it takes no more records, while others do.
    failed: Option<PullError>,
    tally: Tally,
}

impl<'a, A: Account> Taking<'a, A> {
    fn of(intake: Intake<'a, A>) -> Self {
        let plan: &'a Plan = intake.plan;
        Self {
            plan,
            folder: intake.folder,
            selection: intake.selection,
            account: intake.account,
            resolver: Resolver::of(plan),
            packing: None,
            failed: None,
            tally: Tally::default(),
        }
    }

    fn begin(&mut self) -> Result<(), PullError> {
        let writer = match self.plan.way {
            None => self.writer()?,
            // What is led to one row is to stand side by side.
            Some(_) => {
                let ids = self.plan.layout.key_fields();
                let ids: Vec<String> = ids.map(|field| field.column.name.clone()).collect();
                block_in_place(|| PackageWriter::create(&self.folder_of_led(), &ids))?
            }
        };
        self.packing = Some(Packing::begin(writer));
        Ok(())
    }

    /// Of the package that it is to yield.
    fn writer(&self) -> Result<PackageWriter, PackageError> {
        let keys = self.plan.mapping.key_columns();
        block_in_place(|| PackageWriter::create(self.folder, keys))
    }

    /// No write-back's name has such a sign.
    fn folder_of_led(&self) -> PathBuf {
        let mut name = self.folder.file_name().unwrap_or_default().to_owned();
        name.push("~led");
        self.folder.with_file_name(name)
    }

    /// What came of it; nothing if the pull failed as a whole.
    async fn finish(
        mut self,
        is_whole: bool,
    ) -> Result<Option<Result<PulledPackage, PullError>>, PullError> {
        let sharing = self.resolver.sharing();
        let Some(packing) = self.packing.take() else {
            self.resolver.close().await;
            return Ok(self.failed.map(Err));
        };
        if !is_whole {
            self.resolver.close().await;
            packing.give_up().await;
            return Ok(None);
        }
        let mut package = packing.finish().await?;
        if self.plan.way.is_some() {
            package = self.settle_shared(&package).await?;
        }
        self.resolver.close().await;
        Ok(Some(Ok(PulledPackage {
            package,
            tally: self.tally,
            sharing,
        })))
    }

    async fn settle_shared(&mut self, led: &Package) -> Result<Package, PullError> {
        let writer = self.writer()?;
        let (account, tally) = (&mut self.account, &mut self.tally);
        let package = shared_rows::pack(self.plan, led, writer, account, tally).await?;
        let folder = self.folder_of_led();
        if let Err(error) = block_in_place(|| package::remove(&folder)) {
            warn!(path = %folder.display(), %error, "could not remove a package that is no longer needed");
        }
        Ok(package)
    }

    /// Gives its package up.
    async fn fail(&mut self, error: PullError) {
        let cause = chain(&error).join(": ");
        warn!(write_back = %self.plan.write_back.name, error = %cause, "one destination failed; the others go on");
        if let Some(packing) = self.packing.take() {
            packing.give_up().await;
        }
        self.failed = Some(error);
    }

    /// Takes a chunk in: what fits goes into the package, the rest is accounted for.
    async fn take(&mut self, mut pulled: Pulled) -> Result<(), PullError> {
        let places = std::mem::take(&mut pulled.places);
        let Selected {
            sifted,
            mut left_alone,
            read,
        } = block_in_place(|| self.selection.sift(self.plan, pulled));
        let resolved = self.resolver.resolve(sifted).await;
        let Resolved {
            sifted,
            left_alone: led_nowhere,
        } = resolved.map_err(|source| PullError::Refer {
            write_back: self.plan.write_back.name.clone(),
            connection: self.plan.destination.name.clone(),
            source: Box::new(source),
        })?;
        left_alone.extend(led_nowhere);
        if let Some(packing) = &mut self.packing {
            packing.push(sifted.records, places).await?;
        }
        let tally = &mut self.tally;
        tally.read += read;
        tally.rejected += u64::try_from(sifted.rejections.len()).unwrap_or(u64::MAX);
        tally.skipped += u64::try_from(left_alone.len()).unwrap_or(u64::MAX);
        if !sifted.rejections.is_empty() {
            self.account.reject(sifted.rejections).await?;
        }
        if !left_alone.is_empty() {
            self.account.leave_alone(left_alone).await?;
        }
        Ok(())
    }
}

/// A package that is written by a thread of its own: records are sorted and spooled while the next
/// are read and conformed.
struct Packing {
    /// `None` after the last records.
    records: mpsc::Sender<Option<(DataFrame, Vec<Stretch>)>>,
    /// Yields no package if it was given up. Absent once it was waited for.
    packer: Option<JoinHandle<Result<Option<Package>, PackageError>>>,
}

impl Packing {
    fn begin(mut writer: PackageWriter) -> Self {
        let (records, mut incoming) = mpsc::channel::<Option<(DataFrame, Vec<Stretch>)>>(1);
        let packer = tokio::task::spawn_blocking(move || {
            while let Some(records) = incoming.blocking_recv() {
                match records {
                    Some((records, places)) => {
                        writer.keep_places(&places)?;
                        writer.push(&records)?;
                    }
                    None => return writer.finish().map(Some),
                }
            }
            Ok(None)
        });
        Self {
            records,
            packer: Some(packer),
        }
    }

    /// Errors: why earlier records could not be packed.
    async fn push(&mut self, records: DataFrame, places: Vec<Stretch>) -> Result<(), PullError> {
        if self.records.send(Some((records, places))).await.is_ok() {
            return Ok(());
        }
        self.packed().await?;
        Err(PullError::Interrupted)
    }

    async fn finish(mut self) -> Result<Package, PullError> {
        // A packer that has stopped already says why.
        drop(self.records.send(None).await);
        self.packed().await?.ok_or(PullError::Interrupted)
    }

    /// Waits until nothing is left of the package.
    async fn give_up(self) {
        drop(self.records);
        if let Some(packer) = self.packer {
            drop(packer.await);
        }
    }

    async fn packed(&mut self) -> Result<Option<Package>, PullError> {
        match self.packer.take() {
            Some(packer) => Ok(packer.await??),
            None => Ok(None),
        }
    }
}

/// A source that is read by a task of its own: one chunk is read while the one before is conformed
/// and packed.
struct ReadAhead {
    chunks: mpsc::Receiver<Result<Pulled, SystemError>>,
    reader: JoinHandle<()>,
}

impl ReadAhead {
    fn begin(mut source: AnySource) -> Self {
        let (sender, chunks) = mpsc::channel(1);
        let reader = tokio::spawn(async move {
            while let Some(chunk) = source.next_chunk().await.transpose() {
                let failed = chunk.is_err();
                if sender.send(chunk).await.is_err() || failed {
                    break;
                }
            }
        });
        Self { chunks, reader }
    }

    /// The next chunk, or why there is none; `None` after the last.
    /// Errors: the reader stopped unexpectedly.
    async fn next(&mut self) -> Result<Option<Result<Pulled, SystemError>>, PullError> {
        match self.chunks.recv().await {
            Some(chunk) => Ok(Some(chunk)),
            None => {
                (&mut self.reader).await?;
                Ok(None)
            }
        }
    }
}

impl Drop for ReadAhead {
    /// Nobody waits for the rest.
    fn drop(&mut self) {
        self.reader.abort();
    }
}
