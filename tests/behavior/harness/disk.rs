//! A disk of its own for a project's state, as small as a test wants it: a file system in memory
//! that exists in a namespace of its own, so that any user can make one. It goes when the test
//! does.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use super::workspace::{Ran, Workspace};

/// The folder `.writeback` of a project on a small disk, which only programs started here see.
pub(crate) struct Disk<'place> {
    place: &'place Workspace,
    /// Keeps the namespace while its standard input is open.
    keeper: Child,
}

impl<'place> Disk<'place> {
    /// Panics: where this user may not make namespaces.
    pub(crate) fn mount(place: &'place Workspace, kib: u32) -> Self {
        let folder = place.path(".writeback");
        fs::create_dir_all(&folder).expect("a folder");
        let script = "mount -t tmpfs -o size=$1k,mode=700 none \"$0\" && echo mounted && read -r _";
        let mut command = Command::new("unshare");
        command
            .args(["--user", "--map-root-user", "--mount", "sh", "-c", script])
            .arg(&folder)
            .arg(kib.to_string());
        let mut keeper = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("`unshare` starts");
        let mut said = String::new();
        BufReader::new(keeper.stdout.take().expect("a pipe"))
            .read_line(&mut said)
            .expect("text");
        assert_eq!(
            said, "mounted\n",
            "this user may not mount a disk of its own: {command:?}"
        );
        Self { place, keeper }
    }

    /// `writeback run job --json`.
    pub(crate) fn run(&self) -> Ran {
        self.command(&["run", "job", "--json"], &[])
    }

    /// Runs the program where its state is on the disk.
    pub(crate) fn command(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Ran {
        self.place
            .command_through(&self.entrance(), arguments, environment)
    }

    /// Runs a script of the shell in the project's folder.
    /// Panics: if it fails.
    pub(crate) fn shell(&self, script: &str) {
        let entrance = self.entrance();
        let mut command = Command::new(&entrance[0]);
        let status = command
            .args(&entrance[1..])
            .args(["sh", "-c", script])
            .status()
            .expect("a shell");
        assert!(status.success(), "{script}");
    }

    /// Leaves so much of the disk free; the rest is taken by a file that [`Disk::free`] removes.
    pub(crate) fn fill(&self, free_kib: u32) {
        self.shell(&format!(
            "free=$(df --output=avail .writeback | tail -n 1); \
             [ $free -le {free_kib} ] || head -c $(((free - {free_kib}) * 1024)) /dev/zero >.writeback/fill"
        ));
    }

    pub(crate) fn free(&self) {
        self.shell("rm -f .writeback/fill");
    }

    /// What a query on the ledger yields; `None` before there is one.
    pub(crate) fn query_ledger(&self, sql: &str) -> Option<String> {
        self.shell("rm -rf copy; mkdir copy; cp .writeback/ledger.db* copy/ 2>/dev/null || true");
        let tables = "SELECT count(*) AS n FROM sqlite_schema WHERE name = 'batches'";
        let exists = self.place.path("copy/ledger.db").exists()
            && self.place.query_file("copy/ledger.db", tables) == "n\n1\n";
        exists.then(|| self.place.query_file("copy/ledger.db", sql))
    }

    /// What to start a command with so that it sees the disk.
    fn entrance(&self) -> Vec<String> {
        let keeper = self.keeper.id().to_string();
        let folder = self.place.path("").display().to_string();
        let enter = [
            "nsenter",
            "--preserve-credentials",
            "--user",
            "--mount",
            "--target",
            &keeper,
        ];
        let go_there = ["sh", "-c", "cd \"$0\" && exec \"$@\"", &folder];
        enter
            .into_iter()
            .chain(go_there)
            .map(str::to_owned)
            .collect()
    }
}

impl Drop for Disk<'_> {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        drop(self.keeper.wait());
    }
}
