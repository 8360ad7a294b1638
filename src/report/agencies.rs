//! The agencies of a job and the settings of a job or an agency, each with its place, as people and
//! machines read them.

use comfy_table::presets;
use serde_json::{Value, json};

use super::failure;
use super::table::{fitted, table};
use crate::config::{CheckedJob, Project, SettingLine, job_of};
use crate::domain::counted::counted;
use crate::domain::job::WriteBack;
use crate::domain::printable::printable;
use crate::domain::problem::Problem;

/// An agency as its file has it.
pub(crate) struct AgencyFound {
    pub(crate) name: String,
    pub(crate) checked: Result<CheckedJob, Vec<Problem>>,
    /// Settings that its file says.
    pub(crate) changed: usize,
}

impl AgencyFound {
    pub(crate) fn of(project: &Project, base: &str, name: &str) -> Self {
        let job = job_of(base, name);
        let settings = project.settings(&job).unwrap_or_default();
        Self {
            name: name.to_owned(),
            checked: project.read_job(&job),
            changed: settings.iter().filter(|setting| setting.changed).count(),
        }
    }

    /// What records call it.
    pub(crate) fn called(&self) -> Option<&str> {
        self.checked.as_ref().ok()?.job.agency.as_deref()
    }

    /// As `agencies --json` prints it.
    pub(crate) fn json(&self) -> Value {
        let switches = self.checked.as_ref().ok().map(|checked| {
            let switch = |one: &WriteBack| json!({ "name": one.name, "on": one.enabled });
            let write_backs = checked.job.write_backs.iter();
            write_backs.map(switch).collect::<Vec<_>>()
        });
        json!({
            "agency": self.name,
            "called": self.called(),
            "settings_changed": self.changed,
            "write_backs": switches,
            "problems": self.checked.as_ref().err().map(|problems| failure::problems_json(problems)),
        })
    }

    fn row(&self) -> [String; 4] {
        let switched = match &self.checked {
            Ok(checked) => {
                let line = |one: &WriteBack| {
                    format!("{}: {}", one.name, if one.enabled { "on" } else { "off" })
                };
                let lines = checked.job.write_backs.iter().map(line);
                lines.collect::<Vec<_>>().join("\n")
            }
            Err(problems) => format!("cannot run: {}", counted(problems.len(), "problem")),
        };
        let called = self.called().unwrap_or("–");
        [
            self.name.clone(),
            printable(called),
            switched,
            self.changed.to_string(),
        ]
    }
}

/// Agencies as people read them.
pub(crate) fn listed(found: &[AgencyFound]) -> String {
    let mut table = table(presets::UTF8_FULL_CONDENSED);
    table.set_header(["agency", "called", "write-backs", "settings changed"]);
    table.add_rows(found.iter().map(AgencyFound::row));
    fitted(table, &[2]) + "\n"
}

/// As `show --json` prints settings.
pub(crate) fn settings_json(settings: &[SettingLine]) -> Vec<Value> {
    let one = |setting: &SettingLine| {
        json!({
            "path": setting.path,
            "value": setting.value,
            "file": &*setting.location.file,
            "line": setting.location.line,
            "changed": setting.changed,
        })
    };
    settings.iter().map(one).collect()
}
