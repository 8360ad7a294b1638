//! Writing to web APIs: calls, how close a run comes to what the latency of a call allows, and memory.
//! What comes before the first record (logging in, descriptions) takes as long for ten records as for a
//! million, so that it is told apart.
//! The APIs are practices of the program, each in a process of its own, where each call takes a while.

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

/// A web API, and what of it is written.
struct Api {
    kind: &'static str,
    object: &'static str,
    /// Which records are matched on, and which is written.
    fields: [&'static str; 2],
    /// Files of the repository's practice of it.
    files: &'static [&'static str],
    /// What its account is.
    practice: &'static str,
    /// The file of records, its first line, and the line of the record of a number.
    records: (&'static str, &'static str, fn(u64) -> String),
}

const SALESFORCE: Api = Api {
    kind: "salesforce",
    object: "Account",
    fields: ["Customer_Id__c", "Health_Score__c"],
    files: &["Account.json", "User.json", "User.csv"],
    practice: "[org]\ndaily_calls = 1000000\n",
    records: (
        "Account.csv",
        "Id,Name,Customer_Id__c,Strategic__c",
        |number| format!("001{number:012},A{number},{},false", key(number)),
    ),
};

const HUBSPOT: Api = Api {
    kind: "hubspot",
    object: "companies",
    fields: ["account_id", "health_score"],
    files: &[
        "companies.json",
        "contacts.json",
        "deals.json",
        "owners.csv",
    ],
    // As many calls as latency lets through: what is measured is not the portal's patience.
    practice: "[portal]\ndaily_calls = 1000000\nten_seconds_calls = 100000\n",
    records: ("companies.csv", "hs_object_id,name,account_id", |number| {
        format!("{},A{number},{}", 1_000_000 + number, key(number))
    }),
};

const DATAVERSE: Api = Api {
    kind: "dataverse",
    object: "account",
    fields: ["cr_customerid", "cr_healthscore"],
    files: &[
        "account.json",
        "contact.json",
        "systemuser.json",
        "systemuser.csv",
        "team.json",
    ],
    practice: "",
    records: (
        "account.csv",
        "accountid,name,cr_customerid,cr_strategic",
        |number| {
            format!(
                "00000000-0000-4000-8000-{number:012},A{number},{},false",
                key(number)
            )
        },
    ),
};

const BULLHORN: Api = Api {
    kind: "bullhorn",
    object: "Candidate",
    fields: ["externalID", "customText1"],
    files: &[
        "Candidate.json",
        "ClientContact.json",
        "ClientCorporation.json",
        "CorporateUser.json",
        "CorporateUser.csv",
        "JobOrder.json",
        "JobSubmission.json",
        "Note.json",
        "NoteEntity.json",
        "Skill.json",
    ],
    practice: "[corporation]\ncalls_per_minute = 0\ncalls_per_month = 10000000\n",
    records: (
        "Candidate.csv",
        "id,externalID,firstName,lastName,name,status,isDeleted",
        |number| {
            format!(
                "{},{},A,B{number},A B{number},Active,false",
                1_000 + number,
                key(number)
            )
        },
    ),
};

fn key(number: u64) -> String {
    format!("C-{number:08}")
}

/// How a job is told to write to an API.
struct Way {
    api: &'static Api,
    name: &'static str,
    settings: &'static str,
    /// Of all records, one in so many is written.
    share: u64,
    /// Whether a run before it wrote all but one percent.
    is_next: bool,
}

const COLLECTIONS: &str = "[write_back.salesforce]\nbulk_from = 'never'\n";

const WAYS: [Way; 8] = [
    Way::all(&SALESFORCE, "collections of 200", COLLECTIONS),
    Way::all(
        &SALESFORCE,
        "in bulk",
        "[write_back.salesforce]\nbulk_from = 2000\n",
    ),
    Way::next(&SALESFORCE, COLLECTIONS),
    Way::all(&HUBSPOT, "batches of 100", ""),
    Way::next(&HUBSPOT, ""),
    Way::all(&DATAVERSE, "batches", ""),
    Way::next(&DATAVERSE, ""),
    // It takes a call for each record.
    Way {
        share: 10,
        ..Way::all(&BULLHORN, "one by one, a tenth", "")
    },
];

impl Way {
    const fn all(api: &'static Api, name: &'static str, settings: &'static str) -> Self {
        Self {
            api,
            name,
            settings,
            share: 1,
            is_next: false,
        }
    }

    const fn next(api: &'static Api, settings: &'static str) -> Self {
        Self {
            is_next: true,
            ..Self::all(api, "one percent changed, last_written", settings)
        }
    }
}

/// A line for each way of writing so many records.
pub(crate) fn measure(records: u64, root: &Folder) -> Result<String, Fault> {
    let mut lines = format!(
        "{records} records, {} ms a call, {WRITERS} in flight\n{:<46} {:>8} {:>7} {:>9} {:>9} {:>9} {:>7} {:>10} {:>10}\n",
        LATENCY.as_millis(),
        "",
        "updated",
        "calls",
        "start-up",
        "records",
        "at best",
        "ratio",
        "of all",
        "memory"
    );
    for way in WAYS {
        let folder = root.folder()?;
        let records = records / way.share;
        let place = Place::make(folder.path(), records, &way)?;
        let _practice = Practice::start(&place.folder)?;
        let ran = match way.is_next {
            false => place.run()?,
            true => {
                place.run()?;
                place.bring(records, |number| number % 100 == 7)?;
                place.run()?
            }
        };
        lines += &line(&format!("{}: {}", way.api.kind, way.name), &ran)?;
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
    let all = ran.sample.elapsed.as_secs_f64();
    let (records, start_up) = (done.seconds, all - done.seconds);
    let memory = ran.sample.peak as f64 / f64::from(1 << 20);
    let calls = done.calls.ok_or("the calls are not told")?;
    let best = LATENCY.as_secs_f64() * f64::from(calls) / f64::from(WRITERS);
    Ok(format!(
        "{name:<46} {:>8} {calls:>7} {start_up:>7.1} s {records:>7.1} s {best:>7.1} s {:>5.0} % {:>8.0} % {memory:>6.0} MiB\n",
        done.updated,
        best * 100.0 / records,
        best * 100.0 / all
    ))
}

/// A project with a practice of its own.
struct Place {
    folder: PathBuf,
}

impl Place {
    fn make(folder: &Path, records: u64, way: &Way) -> Result<Self, Fault> {
        let Api {
            kind,
            object,
            fields: [key_field, written],
            files,
            practice,
            records: (file, header, line_of),
        } = *way.api;
        for part in ["org", "sql", "schedules", "data"] {
            fs::create_dir_all(folder.join(part))?;
        }
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
        for file in files {
            let from = fixtures.join(kind).join(file);
            fs::copy(from, folder.join("org").join(file))?;
        }
        let mut held = format!("{header}\n");
        for number in 0..records {
            writeln!(held, "{}", line_of(number))?;
        }
        fs::write(folder.join("org").join(file), held)?;
        fs::write(folder.join("org/practice.toml"), practice)?;
        fs::write(
            folder.join("writeback.toml"),
            format!(
                "[connections.files]\nkind = 'files'\nfolder = 'data'\n\n[connections.crm]\nkind = '{kind}'\npractice = 'org'\nwriters = {WRITERS}\n"
            ),
        )?;
        fs::write(
            folder.join("sql/scores.sql"),
            "CREATE TABLE scores (id VARCHAR(18) PRIMARY KEY, score DECIMAL(5,2));\n",
        )?;
        let settings = way.settings;
        fs::write(
            folder.join("schedules/job.toml"),
            format!(
                "[[write_back]]\nname = 'scores'\nschema = 'sql/scores.sql'\nsource = 'files'\ndestination = 'crm'\ntable = '{object}'\ncompare = 'last_written'\n\n[write_back.fields]\n{key_field} = 'id'\n{written} = 'score'\n\n{settings}"
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
            writeln!(scores, "{},{}.{half}", key(number), number % 100)?;
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
