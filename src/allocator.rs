//! What the C library's allocator gives back. glibc raises, as it works, the size from which it maps
//! memory that goes back to the system when it is freed, up to 32 MiB; below that it keeps what was
//! freed, and how much that is differs from run to run: a preview of wide rows held between 120 and
//! 240 MiB where it needs 75 to 180. Fixing that size is possible from outside only, before the
//! program begins: so it starts itself anew, in the same process, with the variable set. Sources:
//! mallopt(3), `M_MMAP_THRESHOLD` and `M_TRIM_THRESHOLD`, and the variables of their names.

use std::ffi::OsStr;
use std::process::Command;

/// From how many bytes memory is mapped: buffers of wide rows, and nothing smaller. Mapping is paid
/// for page by page: from 256 KiB on, where a batch's columns of narrow rows are mapped too, it was
/// a tenth of a run's processor time.
const MAPPED_FROM_BYTES: (&str, &str) = ("MALLOC_MMAP_THRESHOLD_", "1048576");

/// How much of what was freed is kept at the end of what is not mapped.
const KEPT_BYTES: (&str, &str) = ("MALLOC_TRIM_THRESHOLD_", "8388608");

const FIXED: [(&str, &str); 2] = [MAPPED_FROM_BYTES, KEPT_BYTES];

/// What a user sets who tunes the allocator; it is left as it is then.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const TUNABLES: [&str; 3] = [MAPPED_FROM_BYTES.0, KEPT_BYTES.0, "GLIBC_TUNABLES"];

/// Starts this program anew with these sizes fixed, and does not return; where that is done already,
/// the user tunes the allocator, or it cannot be done, nothing happens.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub(crate) fn fix_thresholds() {
    use std::os::unix::process::CommandExt;

    if TUNABLES.iter().any(|name| std::env::var_os(name).is_some()) {
        return;
    }
    let mut arguments = std::env::args_os();
    let (Some(name), Ok(program)) = (arguments.next(), std::env::current_exe()) else {
        return;
    };
    let refused = Command::new(program)
        .arg0(name)
        .args(arguments)
        .envs(FIXED)
        .exec();
    // The program may have been replaced or removed since it was started: it works all the same,
    // and keeps more memory.
    drop(refused);
}

/// Other allocators know no such sizes.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(crate) fn fix_thresholds() {}

/// Keeps from another program what was set for this one alone.
pub(crate) fn keep_from(command: &mut Command) -> &mut Command {
    let is_ours =
        |(name, bytes): (&str, &str)| std::env::var_os(name).as_deref() == Some(OsStr::new(bytes));
    if FIXED.into_iter().all(is_ours) {
        for (name, _) in FIXED {
            command.env_remove(name);
        }
    }
    command
}
