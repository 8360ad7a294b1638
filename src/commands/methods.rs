//! `writeback methods`: the registry of value methods.

use comfy_table::presets;
use serde_json::json;

use super::{CommandError, Ending, print, print_json};
use crate::cli::MethodsArguments;
use crate::domain::method::Method;
use crate::report::table::{fitted, table};

pub(super) fn methods(arguments: &MethodsArguments) -> Result<Ending, CommandError> {
    match arguments.json {
        true => {
            let entry = |method: Method| {
                json!({
                    "name": method.name(),
                    "purpose": method.purpose(),
                    "example": method.example(),
                    "takes_column": method.takes_column(),
                })
            };
            print_json(&Method::ALL.map(entry))?;
        }
        false => {
            let mut table = table(presets::UTF8_FULL_CONDENSED);
            table.set_header(["method", "purpose", "example"]);
            table.add_rows(
                Method::ALL.map(|method| [method.name(), method.purpose(), method.example()]),
            );
            print(&(fitted(table, &[1, 2]) + "\n"));
        }
    }
    Ok(Ending::Done)
}
