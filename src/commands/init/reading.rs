//! What the systems themselves say of a new project: which tables there are, how they are written,
//! and what their columns hold. Whatever cannot be looked at yet is asked for instead.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::config::draft::{DraftColumn, DraftSystem, quoted};
use crate::domain::connection::{Connection, System};
use crate::domain::error::{SystemError, chain};
use crate::domain::files::{CsvDialect, DatedFiles, FileName, FilePattern, Take};
use crate::domain::problem::nearest;
use crate::domain::schema::{DecimalSize, SchemaType};
use crate::source::{self, FileTable, ListedTable, TableDescription};

/// A source as it was named: a file names its table at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NamedSource {
    pub(super) system: String,
    pub(super) table: Option<String>,
}

impl NamedSource {
    /// Takes a file of records for its folder and its table. Relative paths begin where the
    /// project is; what is only there seen from here is named in full.
    pub(super) fn parse(text: &str, project: &Path) -> Self {
        let text = here_or_there(text.trim(), project);
        let path = Path::new(&text);
        let name = path.file_name().and_then(|name| name.to_str());
        let file = name.and_then(FileName::parse);
        match (file, project.join(path).is_file(), path.parent()) {
            (Some(file), true, Some(folder)) => Self {
                table: Some(file.table.to_owned()),
                system: match folder.as_os_str().is_empty() {
                    true => ".".to_owned(),
                    false => folder.display().to_string(),
                },
            },
            _ => Self {
                system: text,
                table: None,
            },
        }
    }
}

/// A path as the project's files name it.
pub(super) fn here_or_there(text: &str, project: &Path) -> String {
    let is_path = !text.contains("://");
    if !is_path || project.join(text).exists() || !Path::new(text).exists() {
        return text.to_owned();
    }
    let full: Option<PathBuf> = std::path::absolute(text).ok();
    let full = full.and_then(|full| full.to_str().map(str::to_owned));
    full.unwrap_or_else(|| text.to_owned())
}

/// What came of looking at a table.
#[derive(Debug)]
pub(super) enum Look {
    /// It is there.
    Seen(Box<SeenTable>),
    /// The system is there, and this table is not; why, and what there is.
    NoTable(String),
    Unseen(Unseen),
}

/// Why a system could not be looked at.
#[derive(Debug)]
pub(super) struct Unseen {
    pub(super) why: String,
    /// Whether waiting cannot help, such as with a wrong password.
    pub(super) is_mistake: bool,
}

impl Unseen {
    /// Whoever cannot be reached now may be there later; everything else is a mistake by now.
    fn of(error: &SystemError) -> Self {
        Self {
            why: told(error),
            is_mistake: !error.is_transient(),
        }
    }

    fn not_yet(why: String) -> Self {
        Self {
            why,
            is_mistake: false,
        }
    }
}

/// A table as its system describes it.
#[derive(Debug)]
pub(super) struct SeenTable {
    pub(super) table: TableDescription,
    pub(super) dialect: CsvDialect,
}

/// A table that may be written back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Offer {
    pub(super) table: String,
    /// The files that it is the newest of, by a pattern of their names.
    pub(super) pattern: Option<String>,
    /// The tables that these files are by their own names.
    of: Vec<String>,
}

impl Offer {
    pub(super) fn of_table(table: String) -> Self {
        Self {
            of: vec![table.clone()],
            table,
            pattern: None,
        }
    }

    fn of_files(dated: DatedFiles, of: Vec<String>) -> Self {
        Self {
            table: dated.table,
            pattern: Some(dated.pattern),
            of,
        }
    }

    /// Whether the table of this name is meant by it.
    pub(super) fn holds(&self, table: &str) -> bool {
        self.of.iter().any(|one| one == table)
    }
}

impl fmt::Display for Offer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.pattern {
            None => formatter.write_str(&self.table),
            Some(pattern) => write!(formatter, "{} (the newest of {pattern})", self.table),
        }
    }
}

/// Tables of a folder as they are offered: files that differ by a date alone as the newest of them,
/// since the next export has another date. Where something else is called like that, each stands
/// for itself.
fn offers(tables: Vec<FileTable>) -> Vec<Offer> {
    let mut offers: Vec<(Option<DatedFiles>, Vec<String>)> = Vec::new();
    for FileTable { table, file } in tables {
        let dated = file.as_deref().and_then(DatedFiles::parse);
        let mut earlier = offers.iter_mut().filter(|_| dated.is_some());
        match earlier.find(|(other, _)| *other == dated) {
            Some((_, of)) => of.push(table),
            None => offers.push((dated, vec![table])),
        }
    }
    let name_of = |(dated, of): &(Option<DatedFiles>, Vec<String>)| {
        let table = dated.as_ref().map(|dated| dated.table.as_str());
        table
            .or(of.first().map(String::as_str))
            .map(str::to_lowercase)
    };
    let names: Vec<Option<String>> = offers.iter().map(name_of).collect();
    let offered = offers
        .into_iter()
        .zip(&names)
        .flat_map(|((dated, of), name)| {
            let is_only = names.iter().filter(|other| *other == name).count() == 1;
            match dated.filter(|_| is_only) {
                Some(dated) => vec![Offer::of_files(dated, of)],
                None => of.into_iter().map(Offer::of_table).collect(),
            }
        });
    offered.collect()
}

/// The tables in a folder of files or in a database; none where there is no such one.
pub(super) async fn tables(system: &DraftSystem, project: &Path) -> Vec<Offer> {
    let Ok(connection) = connect(system, project, None) else {
        return Vec::new();
    };
    let tables = if let System::Files(settings) = &connection.system {
        source::tables_of_files(&connection.name, settings).map(offers)
    } else {
        let tables = source::list_tables(&connection).await;
        let offer = |table: &ListedTable| Offer::of_table(name_of(table));
        tables.map(|tables| tables.iter().map(offer).collect())
    };
    // Whoever names a table of it is told why it cannot be looked at.
    tables.unwrap_or_default()
}

/// The tables of a destination.
pub(super) async fn list(system: &DraftSystem, project: &Path) -> Result<Vec<ListedTable>, Unseen> {
    let connection = connect(system, project, None)?;
    let tables = source::list_tables(&connection).await;
    tables.map_err(|error| Unseen::of(&error))
}

/// A table as files of a project name it.
pub(super) fn name_of(table: &ListedTable) -> String {
    let parts = table.path.iter().map(|part| quoted(part));
    parts.collect::<Vec<_>>().join(".")
}

/// A connection to a system that is there, for a look at one of its tables or at which there are.
fn connect(
    system: &DraftSystem,
    project: &Path,
    table: Option<&str>,
) -> Result<Connection, Unseen> {
    if let Some(path) = system.path()
        && !project.join(path).exists()
    {
        return Err(Unseen::not_yet(format!("`{path}` is not there yet")));
    }
    let connection = system.connect(project, table, &CsvDialect::default());
    connection.map_err(|problems| {
        let why = problems.into_iter().next().map(|problem| problem.message);
        Unseen::not_yet(why.unwrap_or_default())
    })
}

/// Looks at a table of a system, which may be the newest of some files.
pub(super) async fn look(
    system: &DraftSystem,
    project: &Path,
    table: &str,
    pattern: Option<&str>,
) -> Look {
    let mut connection = match connect(system, project, Some(table)) {
        Ok(connection) => connection,
        Err(unseen) => return Look::Unseen(unseen),
    };
    let mut dialect = CsvDialect::default();
    if let System::Files(settings) = &mut connection.system {
        if source::tables_of_files(&connection.name, settings).is_ok_and(|there| there.is_empty()) {
            let folder = settings.folder.display();
            let why = format!("there is no file of records in `{folder}` yet");
            return Look::Unseen(Unseen::not_yet(why));
        }
        let newest = pattern.and_then(|pattern| FilePattern::parse(pattern, Take::Last).ok());
        settings
            .tables
            .extend(newest.map(|newest| (table.to_owned(), newest)));
        match source::dialect_of_file(&connection.name, settings, table) {
            Ok(found) => dialect = found,
            Err(error) => return of_error(&error),
        }
        settings.dialect = dialect.clone();
    }
    match source::describe_table(&connection, table).await {
        Ok(table) => Look::Seen(Box::new(SeenTable { table, dialect })),
        Err(error) => of_error(&error),
    }
}

fn of_error(error: &SystemError) -> Look {
    if let SystemError::NotFound { .. } = error {
        return Look::NoTable(told(error));
    }
    Look::Unseen(Unseen::of(error))
}

fn told(error: &SystemError) -> String {
    let told = [chain(error).join(": "), error.hint().unwrap_or_default()];
    told.join("; ").trim_end_matches("; ").to_owned()
}

impl SeenTable {
    /// The columns that can be carried. The unique identifier is what the source says it is, else
    /// what its records suggest, else the first column: a person looks at it in every case.
    pub(super) fn columns(&self) -> Vec<DraftColumn> {
        let key = self.key();
        let columns = self.table.columns.iter();
        columns
            .filter_map(|column| {
                let is_key = key.contains(&column.name.as_str());
                Some(DraftColumn {
                    name: column.name.clone(),
                    column_type: column.column_type?,
                    nullable: column.nullable && !is_key,
                    key: is_key,
                    goes_to: Some(column.name.clone()),
                })
            })
            .collect()
    }

    fn key(&self) -> Vec<&str> {
        let table = &self.table;
        if !table.primary_key.is_empty() {
            return table.primary_key.iter().map(String::as_str).collect();
        }
        // Scores and times may happen to differ; nobody is known by them.
        let names_somebody = |column_type: SchemaType| {
            matches!(
                column_type,
                SchemaType::Text { .. } | SchemaType::Integer { .. } | SchemaType::Uuid
            )
        };
        let mut columns = table.columns.iter();
        let unique = columns.find(|column| {
            table.unique.contains(&column.name) && column.column_type.is_some_and(names_somebody)
        });
        unique
            .map(|column| column.name.as_str())
            .into_iter()
            .collect()
    }

    /// Columns that write-backs do not carry.
    pub(super) fn left_out(&self) -> Vec<&str> {
        let columns = self.table.columns.iter();
        columns
            .filter(|column| column.column_type.is_none())
            .map(|column| column.name.as_str())
            .collect()
    }
}

/// A type that holds what either of two does, where the second is a wider one of its kind: values
/// suggest the first, somebody declared the second.
pub(super) fn widened(seen: SchemaType, declared: SchemaType) -> Option<SchemaType> {
    let wider = match (seen, declared) {
        (
            SchemaType::Text {
                characters_max: Some(seen),
            },
            SchemaType::Text { characters_max },
        ) => characters_max.is_none_or(|declared| declared > seen),
        (SchemaType::Integer { bits: seen }, SchemaType::Integer { bits }) => bits > seen,
        (SchemaType::Integer { .. }, SchemaType::Decimal { size }) => {
            size.is_none_or(|size| size.scale > 0)
        }
        (SchemaType::Decimal { size: Some(seen) }, SchemaType::Decimal { size }) => {
            let whole = |size: DecimalSize| size.precision.saturating_sub(size.scale);
            size.is_none_or(|size| {
                size != seen && size.scale >= seen.scale && whole(size) >= whole(seen)
            })
        }
        _ => false,
    };
    wider.then_some(declared)
}

/// A name without case and signs.
pub(super) fn plain(name: &str) -> String {
    let letters = name.chars().filter(|sign| sign.is_alphanumeric());
    letters.flat_map(char::to_lowercase).collect()
}

/// The destination column that a source column most likely goes to: of the same name but for case
/// and signs, else of a near one. A column is proposed once.
pub(super) fn near_names(columns: &[DraftColumn], there: &[String]) -> Vec<Option<String>> {
    let mut left: Vec<&String> = there.iter().collect();
    let same = columns.iter().map(|column| {
        let position = left
            .iter()
            .position(|name| plain(name) == plain(&column.name));
        position.map(|position| left.remove(position).clone())
    });
    let same: Vec<Option<String>> = same.collect();
    let near = columns.iter().zip(same).map(|(column, same)| {
        same.or_else(|| {
            let near = nearest(&column.name, left.iter().map(|name| name.as_str()))?.to_owned();
            left.retain(|name| **name != near);
            Some(near)
        })
    });
    near.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_goes_where_its_name_leads() {
        let columns = ["account_id", "health_score", "churn", "note"].map(|name| DraftColumn {
            name: name.to_owned(),
            column_type: SchemaType::Date,
            nullable: true,
            key: false,
            goes_to: None,
        });
        let there = ["ChurnRisk", "Health Score", "ACCOUNT_ID", "OWNER"].map(str::to_owned);
        let near = near_names(&columns, &there);
        let near: Vec<Option<&str>> = near.iter().map(Option::as_deref).collect();
        assert_eq!(
            near,
            [
                Some("ACCOUNT_ID"),
                Some("Health Score"),
                Some("ChurnRisk"),
                None
            ]
        );
    }
}
