//! The journal as a table of the destination: its columns, the statement that makes it, and whether
//! a table is one.

use strum::{EnumCount, VariantArray};

use super::change::Change;
use super::connection::System;
use super::field::NullPolicy;
use super::layout::{Layout, LayoutField};
use super::match_rule::MatchMode;
use super::object::{Object, ObjectColumn, ObjectName, Spelling};
use super::value::Kind;

/// A column of the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, EnumCount, VariantArray)]
pub(crate) enum JournalColumn {
    Run,
    Job,
    WriteBack,
    Cycle,
    Object,
    MatchKey,
    ColumnName,
    OldValue,
    NewValue,
    Change,
    WrittenAt,
}

impl JournalColumn {
    /// In the order of the table and of its batches.
    pub(crate) const ALL: [Self; Self::COUNT] = *Self::VARIANTS.first_chunk().expect("all of them");

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Run => "run",
            Self::Job => "job",
            Self::WriteBack => "write_back",
            Self::Cycle => "cycle",
            Self::Object => "object",
            Self::MatchKey => "match_key",
            Self::ColumnName => "column_name",
            Self::OldValue => "old_value",
            Self::NewValue => "new_value",
            Self::Change => "change_kind",
            Self::WrittenAt => "written_at",
        }
    }

    /// Whether it tells, with the others that do, one change of one value from every other of its
    /// run.
    fn identifies(self) -> bool {
        matches!(
            self,
            Self::Run | Self::WriteBack | Self::MatchKey | Self::ColumnName
        )
    }

    fn is_nullable(self) -> bool {
        matches!(self, Self::OldValue | Self::NewValue)
    }

    /// Whether a column of a table takes its values.
    fn fits(self, kind: Option<Kind>) -> bool {
        match self {
            Self::Run => kind == Some(Kind::Integer),
            Self::WrittenAt => matches!(kind, Some(Kind::Timestamp | Kind::Instant)),
            Self::Job
            | Self::WriteBack
            | Self::Cycle
            | Self::Object
            | Self::MatchKey
            | Self::ColumnName
            | Self::OldValue
            | Self::NewValue
            | Self::Change => kind == Some(Kind::Text),
        }
    }

    /// The type that holds whatever it may be, as the database writes it.
    fn declared(self, system: &System) -> &'static str {
        let (is_mysql, is_postgres) = (system.mysql().is_some(), system.postgres().is_some());
        match self {
            Self::Run => "bigint",
            Self::WrittenAt if is_postgres => "timestamp with time zone",
            Self::WrittenAt if is_mysql => "datetime(6)",
            Self::WrittenAt => "timestamp",
            Self::Job
            | Self::WriteBack
            | Self::Cycle
            | Self::Object
            | Self::MatchKey
            | Self::ColumnName
            | Self::OldValue
            | Self::NewValue
            | Self::Change => match is_mysql {
                true => "longtext character set utf8mb4",
                false => "text",
            },
        }
    }

    fn definition(self, system: &System, spelling: &Spelling) -> String {
        let null = if self.is_nullable() { "" } else { " not null" };
        format!(
            "{} {}{null}",
            spelling.quoted(self.name()),
            self.declared(system)
        )
    }
}

/// The statement that makes a journal of this name.
pub(crate) fn create_table(system: &System, name: &ObjectName) -> String {
    let spelling = Spelling {
        quote: if let System::Mysql(_) = system {
            '`'
        } else {
            '"'
        },
        account: None,
    };
    let parts: Vec<String> = name
        .parts
        .iter()
        .map(|part| spelling.quoted(&part.text))
        .collect();
    // A file is alone, and its tables are named alone.
    let alone = matches!(system, System::Sqlite(_));
    let table = if alone {
        parts.last().cloned().unwrap_or_default()
    } else {
        parts.join(".")
    };
    let columns: Vec<String> = JournalColumn::ALL
        .iter()
        .map(|column| column.definition(system, &spelling))
        .collect();
    format!("CREATE TABLE {table} ({})", columns.join(", "))
}

/// How the rows of a journal lie in a batch, in the order of [`JournalColumn::ALL`].
/// Errors: what keeps the table from being one, and what to do about it.
pub(crate) fn layout(
    system: &System,
    object: &Object,
) -> Result<Layout, Vec<(String, Option<String>)>> {
    let mut problems = Vec::new();
    let mut fields = Vec::new();
    for wanted in JournalColumn::ALL {
        match field(system, object, wanted) {
            Ok(field) => fields.push(field),
            Err(problem) => problems.push(problem),
        }
    }
    let mut known = JournalColumn::ALL
        .iter()
        .flat_map(|wanted| object.columns.iter().find(|it| it.name == wanted.name()));
    if !object.may_enter {
        problems.push((
            "its schema may not be used".to_owned(),
            object.grant_entry().map(|grant| format!("`{grant}`")),
        ));
    } else if known.any(|column| !column.may_insert) {
        let grant = object.grant("INSERT").map(|grant| format!("`{grant}`"));
        problems.push(("rows may not be added to it".to_owned(), grant));
    }
    if let Some(obstacle) = object.obstacle(Change::Insert) {
        problems.push((format!("it {}", obstacle.why), Some(obstacle.hint.clone())));
    }
    let is_journal = |column: &ObjectColumn| {
        JournalColumn::ALL
            .iter()
            .any(|wanted| wanted.name() == column.name)
    };
    let unfilled =
        |column: &&ObjectColumn| !column.nullable && !column.has_default && !column.generated;
    for column in object
        .columns
        .iter()
        .filter(|column| !is_journal(column))
        .filter(unfilled)
    {
        let message = format!(
            "its column `{}` is NOT NULL without a default, and the journal has none",
            column.name
        );
        problems.push((
            message,
            Some("give it a default, or let it be NULL".to_owned()),
        ));
    }
    match problems.is_empty() {
        // Nothing is looked up; the key is what every row has.
        true => Ok(Layout {
            object: object.clone(),
            mode: MatchMode::CreateOnly,
            nulls: NullPolicy::Write,
            only_where: Vec::new(),
            fields,
            key: vec![0],
        }),
        false => Err(problems),
    }
}

/// A journal's layout by which the row of each change is found.
pub(crate) fn identified(layout: &Layout) -> Layout {
    let identifying = |position: &usize| {
        JournalColumn::ALL
            .get(*position)
            .is_some_and(|column| column.identifies())
    };
    let key: Vec<usize> = (0..layout.fields.len()).filter(identifying).collect();
    let fields = layout.fields.iter().enumerate();
    let fields = fields.map(|(position, field)| LayoutField {
        key: key.contains(&position),
        ..field.clone()
    });
    Layout {
        fields: fields.collect(),
        key,
        ..layout.clone()
    }
}

fn field(
    system: &System,
    object: &Object,
    wanted: JournalColumn,
) -> Result<LayoutField, (String, Option<String>)> {
    let name = wanted.name();
    let Some(column) = object.columns.iter().find(|column| column.name == name) else {
        let definition = format!(
            "{} {}",
            object.spelling.quoted(name),
            wanted.declared(system)
        );
        return Err((
            format!("it has no column `{name}`"),
            Some(format!("add it: `{definition}`")),
        ));
    };
    let kind = column.holds.kind().filter(|kind| wanted.fits(Some(*kind)));
    let Some(kind) = kind else {
        let message = format!("its column `{name}` is {}", column.declared);
        return Err((
            message,
            Some(format!("declare it as {}", wanted.declared(system))),
        ));
    };
    if column.generated {
        return Err((
            format!("its column `{name}` is generated"),
            Some("declare it without an expression".to_owned()),
        ));
    }
    let key = wanted == JournalColumn::Run;
    Ok(LayoutField {
        key,
        ..LayoutField::plain(column.clone(), kind)
    })
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::domain::connection::SqliteSettings;
    use crate::domain::object::{Holds, NamePart, ObjectKind, Repertoire, RowLocks};

    fn sqlite() -> System {
        System::Sqlite(SqliteSettings {
            file: PathBuf::new(),
            database: None,
            create_from: None,
        })
    }

    fn column(name: &str, holds: Holds) -> ObjectColumn {
        ObjectColumn {
            may_select: false,
            may_update: false,
            ..ObjectColumn::plain(name, "declared", holds)
        }
    }

    /// A journal whose rows may be added and nothing else, with its columns in another order.
    fn journal() -> Object {
        let text = || Holds::Text {
            limit: None,
            repertoire: Repertoire::Unicode { nul: true },
        };
        let number = || Holds::Integer {
            min: i64::MIN.into(),
            max: i64::MAX.into(),
        };
        let moment = || Holds::Timestamp { fraction_digits: 6 };
        let holds = |wanted: JournalColumn| match wanted.declared(&sqlite()) {
            "bigint" => number(),
            "timestamp" => moment(),
            _ => text(),
        };
        let columns = JournalColumn::ALL
            .iter()
            .rev()
            .map(|wanted| column(wanted.name(), holds(*wanted)));
        Object {
            path: vec!["main".to_owned(), "journal".to_owned()],
            spelling: Spelling {
                quote: '"',
                account: Some("writer".to_owned()),
            },
            kind: ObjectKind::Table,
            columns: columns.collect(),
            unique_keys: Vec::new(),
            indexes: Vec::new(),
            may_enter: true,
            hides_columns: false,
            may_select: false,
            may_select_rows: false,
            locks: RowLocks::Each,
            primary_key: Vec::new(),
            followed: Vec::new(),
            obstacles: Vec::new(),
        }
    }

    fn problems(change: impl Fn(&mut Object)) -> Vec<(String, Option<String>)> {
        let mut object = journal();
        change(&mut object);
        layout(&sqlite(), &object).err().unwrap_or_default()
    }

    #[test]
    fn a_journal_needs_no_more_than_the_right_to_add_rows() {
        let laid = layout(&sqlite(), &journal()).expect("a journal");
        let names: Vec<&str> = laid
            .fields
            .iter()
            .map(|field| field.column.name.as_str())
            .collect();
        assert_eq!(names, JournalColumn::ALL.map(JournalColumn::name));
        assert_eq!(
            laid.key_fields()
                .map(|field| field.column.name.as_str())
                .collect::<Vec<_>>(),
            ["run"]
        );
    }

    #[test]
    fn what_a_table_lacks_is_told_with_what_mends_it() {
        let named = |object: &mut Object, name: &str, change: &dyn Fn(&mut ObjectColumn)| {
            object
                .columns
                .iter_mut()
                .filter(|column| column.name == name)
                .for_each(change);
        };
        let told = |message: &str, hint: &str| vec![(message.to_owned(), Some(hint.to_owned()))];
        assert_eq!(
            problems(|object| object.columns.retain(|column| column.name != "new_value")),
            told(
                "it has no column `new_value`",
                "add it: `\"new_value\" text`"
            )
        );
        assert_eq!(
            problems(|object| named(object, "run", &|column| column.holds = Holds::Boolean)),
            told("its column `run` is declared", "declare it as bigint")
        );
        assert_eq!(
            problems(|object| named(object, "job", &|column| column.may_insert = false)),
            told(
                "rows may not be added to it",
                "`GRANT INSERT ON \"main\".\"journal\" TO writer`"
            )
        );
        assert_eq!(
            problems(|object| object.may_enter = false),
            told(
                "its schema may not be used",
                "`GRANT USAGE ON SCHEMA \"main\" TO writer`"
            )
        );
        let extra = |change: &dyn Fn(&mut ObjectColumn)| {
            problems(|object| {
                let mut own = column("own", Holds::Unsupported);
                own.nullable = false;
                change(&mut own);
                object.columns.push(own);
            })
        };
        assert_eq!(
            extra(&|_| {}),
            told(
                "its column `own` is NOT NULL without a default, and the journal has none",
                "give it a default, or let it be NULL"
            )
        );
        assert_eq!(extra(&|own| own.has_default = true), []);
        assert_eq!(extra(&|own| own.generated = true), []);
    }

    #[test]
    fn the_statement_names_the_table_as_its_database_does() {
        let part = |text: &str| NamePart {
            text: text.to_owned(),
            quoted: true,
        };
        let name = ObjectName {
            parts: vec![part("CRM"), part("a\"b")],
        };
        let statement = create_table(&sqlite(), &name);
        assert!(
            statement.starts_with("CREATE TABLE \"a\"\"b\" (\"run\" bigint not null, "),
            "{statement}"
        );
        assert!(
            statement.ends_with(", \"written_at\" timestamp not null)"),
            "{statement}"
        );
        assert!(
            statement.contains("\"old_value\" text, \"new_value\" text, "),
            "{statement}"
        );
    }
}
