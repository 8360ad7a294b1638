//! Writing to a web API: calls, how close a run comes to what the latency of a call allows, and memory.
//! The API is the practice Salesforce, in a process of its own, where each call takes a while.

use std::fmt::Write;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::Fault;
use crate::measure::{Ran, run};
use crate::project::{PROGRAM, Printed};
use crate::servers::Folder;

/// How long each call takes at least, and how many are in flight.
const LATENCY: Duration = Duration::from_millis(150);
const WRITERS: u32 = 4;

/// Files of the repository's practice org.
const OBJECTS: [&str; 3] = ["Account.json", "User.json", "User.csv"];

/// What is measured: how a job is told to write.
const WAYS: [(&str, &str); 3] = [
    (
        "collections of 200",
        "[write_back.salesforce]\nbulk_from = 'never'\n",
    ),
    ("in bulk", "[write_back.salesforce]\nbulk_from = 2000\n"),
    (
        "one percent changed, last_written",
        "[write_back.salesforce]\nbulk_from = 'never'\n",
    ),
];

/// A line for each way of writing so many records.
pub(crate) fn measure(records: u64, root: &Folder) -> Result<String, Fault> {
    let mut lines = format!(
        "{records} records, {} ms a call, {WRITERS} in flight\n{:<36} {:>8} {:>7} {:>9} {:>9} {:>7} {:>10}\n",
        LATENCY.as_millis(),
        "",
        "updated",
        "calls",
        "seconds",
        "at best",
        "ratio",
        "memory"
    );
    for (name, settings) in WAYS {
        let folder = root.folder()?;
        let place = Place::make(folder.path(), records, settings)?;
        let _practice = Practice::start(&place.folder)?;
        let ran = match name.contains("last_written") {
            false => place.run()?,
            true => {
                place.run()?;
                place.bring(records, |number| number % 100 == 7)?;
                place.run()?
            }
        };
        lines += &line(name, &ran)?;
    }
    Ok(lines)
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn line(name: &str, ran: &Ran) -> Result<String, Fault> {
    let printed: Printed = serde_json::from_str(&ran.stdout)?;
    let [done] = printed.write_backs.as_slice() else {
        return Err("not one write-back".into());
    };
    if printed.status.as_deref() != Some("succeeded") {
        return Err(format!("the run ended as {:?}", printed.status).into());
    }
    let calls = done
        .calls
        .ok_or("a run into a web API that tells no calls")?;
    let best = LATENCY.as_secs_f64() * f64::from(calls) / f64::from(WRITERS);
    let taken = ran.sample.elapsed.as_secs_f64();
    let memory = ran.sample.peak as f64 / f64::from(1 << 20);
    Ok(format!(
        "{name:<36} {:>8} {:>7} {taken:>9.1} {best:>9.1} {:>5.0} % {memory:>6.0} MiB\n",
        done.updated,
        calls,
        best * 100.0 / taken
    ))
}

/// A project with a practice org.
struct Place {
    folder: PathBuf,
}

impl Place {
    fn make(folder: &Path, records: u64, settings: &str) -> Result<Self, Fault> {
        for part in ["org", "sql", "schedules", "data"] {
            fs::create_dir_all(folder.join(part))?;
        }
        let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/salesforce");
        for file in OBJECTS {
            fs::copy(repository.join(file), folder.join("org").join(file))?;
        }
        let mut accounts = String::from("Id,Name,Customer_Id__c,Strategic__c\n");
        for number in 0..records {
            writeln!(accounts, "001{number:012},A{number},C-{number:08},false")?;
        }
        fs::write(folder.join("org/Account.csv"), accounts)?;
        fs::write(
            folder.join("org/practice.toml"),
            "[org]\ndaily_calls = 1000000\n",
        )?;
        fs::write(
            folder.join("writeback.toml"),
            format!(
                "[connections.files]\nkind = 'files'\nfolder = 'data'\n\n[connections.crm]\nkind = 'salesforce'\npractice = 'org'\nwriters = {WRITERS}\n"
            ),
        )?;
        fs::write(
            folder.join("sql/scores.sql"),
            "CREATE TABLE scores (id VARCHAR(18) PRIMARY KEY, score DECIMAL(5,2));\n",
        )?;
        fs::write(
            folder.join("schedules/job.toml"),
            format!(
                "[[write_back]]\nname = 'scores'\nschema = 'sql/scores.sql'\nsource = 'files'\ndestination = 'crm'\ntable = 'Account'\ncompare = 'last_written'\n\n[write_back.fields]\nCustomer_Id__c = 'id'\nHealth_Score__c = 'score'\n\n{settings}"
            ),
        )?;
        let place = Self {
            folder: folder.to_owned(),
        };
        place.bring(records, |_| false)?;
        Ok(place)
    }

    /// An export, of which some records differ from the others' rule.
    fn bring(&self, records: u64, differs: impl Fn(u64) -> bool) -> Result<(), Fault> {
        let mut scores = String::from("id,score\n");
        for number in 0..records {
            let half = if differs(number) { 75 } else { 50 };
            writeln!(scores, "C-{number:08},{}.{half}", number % 100)?;
        }
        Ok(fs::write(self.folder.join("data/scores.csv"), scores)?)
    }

    fn run(&self) -> Result<Ran, Fault> {
        let mut command = Command::new(PROGRAM);
        command
            .args(["run", "job", "--json"])
            .current_dir(&self.folder);
        run(vec![command])
    }
}

/// The practice, which ends with it.
struct Practice(Child);

impl Practice {
    fn start(folder: &Path) -> Result<Self, Fault> {
        let mut command = Command::new(PROGRAM);
        let latency = format!("latency={}ms", LATENCY.as_millis());
        command
            .args(["practice", "crm", "--faults", &latency])
            .current_dir(folder)
            .stdout(Stdio::piped());
        let mut child = command.spawn()?;
        let stdout = child.stdout.take().ok_or("no pipe")?;
        // It says where it is once it is there.
        BufReader::new(stdout).read_line(&mut String::new())?;
        Ok(Self(child))
    }
}

impl Drop for Practice {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}
