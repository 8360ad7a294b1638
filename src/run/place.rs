//! Where the files beside a run stand.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::config::Project;
use crate::{fault, package};

/// Parked records that a report names: people park them one by one.
pub(crate) const LEFT_ALONE_MAX: u32 = 1_000;

/// Where a run's package and reports stand.
pub(crate) fn run_folder(project: &Project, run: i64) -> PathBuf {
    project.state_folder().join("runs").join(run.to_string())
}

/// Where stands what a look of the page showed.
pub(crate) fn look_folder(project: &Project, look: i64) -> PathBuf {
    looks_folder(project).join(look.to_string())
}

/// Where all of that stands.
pub(crate) fn looks_folder(project: &Project) -> PathBuf {
    project.state_folder().join("looks")
}

/// Where a write-back's package stands in the folder of its run.
pub(crate) fn package_folder(run_folder: &Path, write_back: &str) -> PathBuf {
    run_folder.join(write_back).join("package")
}

/// Removes all packages in the folder of a run, finished ones and others.
pub(crate) fn remove_packages(run_folder: &Path) -> io::Result<()> {
    let write_backs = match fs::read_dir(run_folder) {
        Ok(write_backs) => write_backs,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for write_back in write_backs {
        let write_back = write_back?;
        if write_back.file_type()?.is_dir() {
            let package = package_folder(run_folder, &write_back.file_name().to_string_lossy());
            package::remove(&package)?;
            fault::point("a package removed");
        }
    }
    Ok(())
}
