//! What the C library's allocator gives back. glibc raises, as it works, the size from which it maps
//! memory that goes back to the system when it is freed, up to 32 MiB; below that it keeps what was
//! freed, and how much that is differs from run to run: a preview of wide rows held between 120 and
//! 240 MiB where it needs 75 to 180. Fixing that size is possible from outside only, before the
//! program begins: so it starts itself anew, in the same process, with the variable set. Sources:
//! mallopt(3), `M_MMAP_THRESHOLD` and `MALLOC_MMAP_THRESHOLD_`.

use std::ffi::OsStr;
use std::process::Command;

/// From how many bytes memory is mapped: buffers of columns and batches, and nothing smaller.
const MAPPED_FROM_BYTES: &str = "262144";

const THRESHOLD: &str = "MALLOC_MMAP_THRESHOLD_";

/// What a user sets who tunes the allocator; it is left as it is then.
const TUNABLES: [&str; 3] = [THRESHOLD, "MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES"];

/// Starts this program anew with the size fixed, and does not return; where that is done already,
/// the user tunes the allocator, or it cannot be done, nothing happens.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub(crate) fn fix_threshold() {
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
        .env(THRESHOLD, MAPPED_FROM_BYTES)
        .exec();
    // The program may have been replaced or removed since it was started: it works all the same,
    // and keeps more memory.
    drop(refused);
}

/// Other allocators know no such size.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(crate) fn fix_threshold() {}

/// Keeps from another program what was set for this one alone.
pub(crate) fn keep_from(command: &mut Command) -> &mut Command {
    if std::env::var_os(THRESHOLD).as_deref() == Some(OsStr::new(MAPPED_FROM_BYTES)) {
        command.env_remove(THRESHOLD);
    }
    command
}
