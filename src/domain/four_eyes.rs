//! Four eyes: where a project wants it, nobody lets a run go ahead that is their own.

use std::fmt;

/// Who had a hand in a run.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Hands {
    /// Who asked for it.
    pub(crate) asked_by: Vec<String>,
    /// Changes that it is the first to carry.
    pub(crate) changed: Vec<FileChanged>,
}

/// That somebody changed a file of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FileChanged {
    pub(crate) by: String,
    pub(crate) file: String,
}

/// Why a run is somebody's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum OwnRun {
    Asked,
    Changed { file: String },
}

/// `you asked for it`
impl fmt::Display for OwnRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Asked => f.write_str("you asked for it"),
            Self::Changed { file } => {
                write!(f, "you changed `{file}`, and it is the first to carry that")
            }
        }
    }
}

impl Hands {
    /// Why a run is this person's own, if it is.
    pub(crate) fn own(&self, name: &str) -> Option<OwnRun> {
        if self.asked_by.iter().any(|by| by == name) {
            return Some(OwnRun::Asked);
        }
        let changed = self.changed.iter().find(|changed| changed.by == name);
        changed.map(|changed| OwnRun::Changed {
            file: changed.file.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_theirs_who_asked_for_it_or_changed_what_it_carries() {
        let hands = Hands {
            asked_by: vec!["ada".to_owned()],
            changed: vec![FileChanged {
                by: "bo".to_owned(),
                file: "schedules/weekly.toml".to_owned(),
            }],
        };
        assert_eq!(hands.own("ada"), Some(OwnRun::Asked));
        let told = hands.own("bo").map(|own| own.to_string());
        let told = told.unwrap_or_default();
        assert!(told.contains("schedules/weekly.toml"), "{told}");
        assert_eq!(
            hands.own("Ada"),
            None,
            "names are told apart as they are written"
        );
        assert_eq!(
            Hands::default().own("ada"),
            None,
            "a run that `serve` began is nobody's"
        );
    }
}
