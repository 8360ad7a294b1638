//! `writeback settings`: every setting of the project's files, out of the pages that describe them.

use serde_json::{Value, json};

use super::{CommandError, Ending, print, print_json};
use crate::cli::SettingsArguments;
use crate::domain::problem::{Problem, did_you_mean};
use crate::report::settings::{DocumentedSetting, documented, told};

pub(super) fn settings(arguments: &SettingsArguments) -> Result<Ending, CommandError> {
    let all = documented();
    let wanted = arguments.name.as_deref().map(str::trim);
    let found: Vec<&DocumentedSetting> = match wanted {
        None => all.iter().collect(),
        Some(name) => all
            .iter()
            .filter(|setting| setting.is_called(name))
            .collect(),
    };
    if let (true, Some(name)) = (found.is_empty(), wanted) {
        let names = all.iter().flat_map(DocumentedSetting::names);
        let hint = did_you_mean(name, names);
        let hint = hint.unwrap_or_else(|| "`writeback settings` lists them all".to_owned());
        let problem = Problem::mistake(None, format!("there is no setting `{name}`")).hint(hint);
        return Err(CommandError::Problems {
            title: "no such setting".to_owned(),
            problems: vec![problem],
        });
    }
    match arguments.json {
        true => print_json(
            &found
                .iter()
                .map(|setting| as_json(setting))
                .collect::<Value>(),
        )?,
        false => print(&told(&found)),
    }
    Ok(Ending::Done)
}

fn as_json(setting: &DocumentedSetting) -> Value {
    json!({
        "page": setting.page,
        "section": setting.section,
        "settings": setting.names().collect::<Vec<_>>(),
        "default": setting.default,
        "meaning": setting.meaning,
    })
}
