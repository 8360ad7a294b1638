//! The destination's object as its catalogue describes it: which columns there are and what each
//! can hold.

use super::change::Change;
use super::connection::ServiceKind;
use super::schema::{DecimalSize, SchemaType};
use super::value::Kind;

/// One part of a name as a job file writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NamePart {
    pub(crate) text: String,
    /// Quoted parts match exactly, case included; others fall back to the only name that differs in
    /// case.
    pub(crate) quoted: bool,
}

/// A table's name of one to three parts, outermost first: `"CRM"."ACCOUNTS"`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ObjectName {
    pub(crate) parts: Vec<NamePart>,
}

impl std::fmt::Display for ObjectName {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, part) in self.parts.iter().enumerate() {
            let dot = if index > 0 { "." } else { "" };
            match part.quoted {
                true => write!(formatter, "{dot}\"{}\"", part.text.replace('"', "\"\""))?,
                false => write!(formatter, "{dot}{}", part.text)?,
            }
        }
        Ok(())
    }
}

/// What a column can hold exactly.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Holds {
    Text {
        limit: Option<TextLimit>,
        repertoire: Repertoire,
    },
    /// One of these words.
    Label(Vec<String>),
    /// Some of these words, with semicolons between.
    Labels(Vec<String>),
    /// Whole numbers from `min` to `max`.
    Integer {
        min: i128,
        max: i128,
    },
    /// Decimals with at most `precision` digits, `scale` of them after the point; `None` holds any.
    Decimal {
        size: Option<(u16, u16)>,
    },
    /// Decimals that the database keeps as a 64-bit float (SQLite): held exactly up to 15
    /// significant digits.
    DecimalAsFloat {
        size: Option<(u16, u16)>,
    },
    Float {
        bits: u8,
    },
    Boolean,
    Date,
    Time {
        fraction_digits: u8,
    },
    /// A wall-clock time without a zone.
    Timestamp {
        fraction_digits: u8,
    },
    /// An instant.
    Instant {
        fraction_digits: u8,
    },
    Uuid,
    Json,
    /// A type that write-backs do not write, such as `bytea` or `geometry`.
    Unsupported,
}

/// The longest text a column takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TextLimit {
    Characters(u64),
    /// In the column's own encoding.
    Bytes(u64),
}

/// Which characters a text column's encoding has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repertoire {
    /// All of Unicode; `nul` tells whether U+0000 may stand in it (PostgreSQL: no).
    Unicode {
        nul: bool,
    },
    /// Unicode up to U+FFFF: MySQL's `utf8mb3`.
    BasicPlane,
    /// MySQL's `latin1`: Windows-1252.
    Latin1,
    Ascii,
}

/// One column of an object.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ObjectColumn {
    /// As the catalogue spells it.
    pub(crate) name: String,
    /// Its type as the database writes it, fit for a cast and for messages: `character
    /// varying(18)`.
    pub(crate) declared: String,
    pub(crate) holds: Holds,
    pub(crate) nullable: bool,
    /// Filled by the database when an insert leaves it out: default, identity, auto-increment.
    pub(crate) has_default: bool,
    /// Computed by the database; cannot be written.
    pub(crate) generated: bool,
    /// Comparing reads it, and so does showing what it held.
    pub(crate) may_select: bool,
    pub(crate) may_update: bool,
    pub(crate) may_insert: bool,
    /// Whether the database's own `=` on this column takes values for equal that differ in a byte
    /// (a case-insensitive or padded collation). Matching and comparing then look at the bytes as
    /// well.
    pub(crate) loosely_compared: bool,
    /// MySQL: character set and collation. PostgreSQL: what sorts it, as `C` or `en_US.UTF-8`.
    /// `None` elsewhere and for columns that are not text.
    pub(crate) collation: Option<String>,
    /// Whether blanks at the end of a text are lost in it: `CHAR(n)` of PostgreSQL and MySQL.
    pub(crate) drops_blanks: bool,
    /// Whether it holds several members with semicolons between, whose order does not count.
    pub(crate) is_set: bool,
}

impl ObjectColumn {
    /// A column that may be NULL, is filled by nobody else, and may be read and written.
    pub(crate) fn plain(name: &str, declared: &str, holds: Holds) -> Self {
        Self {
            name: name.to_owned(),
            declared: declared.to_owned(),
            holds,
            nullable: true,
            has_default: false,
            generated: false,
            may_select: true,
            may_update: true,
            may_insert: true,
            loosely_compared: false,
            collation: None,
            drops_blanks: false,
            is_set: false,
        }
    }
}

/// What an object is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ObjectKind {
    Table,
    /// What shows rows that are kept elsewhere: a view, or a table of another server.
    View {
        updatable: bool,
    },
    /// Records of a web API.
    Records(ServiceKind),
}

impl ObjectKind {
    /// Whether it stands behind a web API.
    pub(crate) fn is_of_service(self) -> bool {
        self.service().is_some()
    }

    /// The web API behind it.
    pub(crate) fn service(self) -> Option<ServiceKind> {
        match self {
            Self::Records(service) => Some(service),
            Self::Table | Self::View { .. } => None,
        }
    }
}

/// How rows are kept from other writers while it is decided about them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RowLocks {
    /// A statement locks the rows that it reads.
    Each,
    /// All that stands behind the object is locked at once; whether this user may.
    Whole { allowed: bool },
}

/// How a database writes names, for statements that are proposed to people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Spelling {
    /// Stands before and after a name, and twice within one.
    pub(crate) quote: char,
    /// The connection's user as `GRANT … TO` names it; `None` where there are no users.
    pub(crate) account: Option<String>,
}

impl Spelling {
    pub(crate) fn quoted(&self, name: &str) -> String {
        let quote = self.quote;
        format!(
            "{quote}{}{quote}",
            name.replace(quote, &format!("{quote}{quote}"))
        )
    }
}

/// A destination's object: the table that a write-back writes to.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Object {
    /// As the catalogue spells it, outermost first.
    pub(crate) path: Vec<String>,
    pub(crate) spelling: Spelling,
    pub(crate) kind: ObjectKind,
    pub(crate) columns: Vec<ObjectColumn>,
    /// Columns of every unconditional unique index or primary key.
    pub(crate) unique_keys: Vec<Vec<String>>,
    /// Columns whose values rows that refer to them take over when they change (`ON UPDATE
    /// CASCADE`), as far as the catalogue shows them.
    pub(crate) followed: Vec<String>,
    /// Leading columns of every index that an equality lookup can use, unique ones included.
    pub(crate) indexes: Vec<Vec<String>>,
    /// Whether what it stands in may be used: without USAGE on a schema of PostgreSQL no right
    /// within it counts.
    pub(crate) may_enter: bool,
    /// Whether there may be columns that the catalogue does not show to this user.
    pub(crate) hides_columns: bool,
    /// Whether rows may be read at all: matching needs it.
    pub(crate) may_select: bool,
    /// Whether whole rows may be read, with what the database itself keeps beside their columns.
    pub(crate) may_select_rows: bool,
    pub(crate) locks: RowLocks,
    /// Columns of the primary key, if there is one: `writeback schema` prints it.
    pub(crate) primary_key: Vec<String>,
    /// Why it must not be written, as far as the catalogue tells.
    pub(crate) obstacles: Vec<Obstacle>,
}

/// What makes something else of a write than what it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Obstacle {
    /// The changes it stands against.
    pub(crate) against: Vec<Change>,
    /// Completes "`crm.accounts` …".
    pub(crate) why: String,
    pub(crate) hint: String,
}

impl Obstacle {
    /// A view through which no row can be deleted, while it takes other writes.
    pub(crate) fn to_deletions() -> Self {
        Self {
            against: vec![Change::Delete],
            why: "is a view through which no row can be deleted".to_owned(),
            hint: "leave out `--delete-created`, and delete such rows where the view takes them from; or let the \
                   view take deletions"
                .to_owned(),
        }
    }

    /// Something that stands against every write.
    pub(crate) fn to_all(why: String, hint: String) -> Self {
        Self {
            against: vec![Change::Update, Change::Insert, Change::Delete],
            why,
            hint,
        }
    }
}

/// A column's name and declared type, as the catalogue has them now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Declaration {
    pub(crate) name: String,
    /// As [`ObjectColumn::declared`].
    pub(crate) declared: String,
}

impl Object {
    /// As people read it: `CRM.ACCOUNTS`.
    pub(crate) fn display_name(&self) -> String {
        self.path.join(".")
    }

    /// What stands against a change; the first, if several things do.
    pub(crate) fn obstacle(&self, change: Change) -> Option<&Obstacle> {
        self.obstacles
            .iter()
            .find(|obstacle| obstacle.against.contains(&change))
    }

    /// The statement that gives the connection's user a right, as `select` or `update ("SCORE")`, or
    /// where else it is given; `None` where there are no users.
    pub(crate) fn grant(&self, right: &str) -> Option<String> {
        if let Some(service) = self.kind.service() {
            return Some(format!("{right}: {}", service.right_given_by()));
        }
        let account = self.spelling.account.as_ref()?;
        Some(format!(
            "GRANT {right} ON {} TO {account}",
            self.quoted_path()
        ))
    }

    /// The statement that lets the connection's user use the schema it stands in; `None` where
    /// there are no users.
    pub(crate) fn grant_entry(&self) -> Option<String> {
        let account = self.spelling.account.as_ref()?;
        let schema = self.path.iter().rev().nth(1)?;
        Some(format!(
            "GRANT USAGE ON SCHEMA {} TO {account}",
            self.spelling.quoted(schema)
        ))
    }

    /// The columns that are parts of another, such as `address.city`.
    pub(crate) fn parts_of<'a>(&'a self, whole: &'a str) -> impl Iterator<Item = &'a str> {
        let names = self.columns.iter().map(|column| column.name.as_str());
        names.filter(move |name| {
            let rest = name.strip_prefix(whole);
            rest.is_some_and(|rest| rest.starts_with('.'))
        })
    }

    /// What keeps a key from standing on several records, where that is a web API's to do.
    pub(crate) fn uniqueness(&self) -> Option<&'static str> {
        self.kind.service().map(ServiceKind::made_unique_by)
    }

    /// The statement that adds an index over columns.
    pub(crate) fn create_index(&self, columns: &[&str]) -> String {
        self.create("INDEX", columns, None)
    }

    /// As [`Object::create_index`], for one that lets no two rows have the same values there.
    pub(crate) fn create_unique_index(&self, columns: &[&str]) -> String {
        self.create("UNIQUE INDEX", columns, Some("key"))
    }

    fn create(&self, what: &str, columns: &[&str], suffix: Option<&str>) -> String {
        let table = self.path.last().map_or("", String::as_str);
        let parts = std::iter::once(table)
            .chain(columns.iter().copied())
            .chain(suffix);
        let name = parts.collect::<Vec<_>>().join("_").to_lowercase();
        let columns: Vec<String> = columns
            .iter()
            .map(|column| self.spelling.quoted(column))
            .collect();
        // Without users there is one file, whose tables are named alone.
        let object = if self.spelling.account.is_some() {
            self.quoted_path()
        } else {
            self.spelling.quoted(table)
        };
        format!(
            "CREATE {what} {} ON {object} ({})",
            self.spelling.quoted(&name),
            columns.join(", ")
        )
    }

    fn quoted_path(&self) -> String {
        self.path
            .iter()
            .map(|part| self.spelling.quoted(part))
            .collect::<Vec<_>>()
            .join(".")
    }
}

impl Holds {
    /// The kind in which values are handed to the database for such a column; `None` if it cannot
    /// be written.
    pub(crate) fn kind(&self) -> Option<Kind> {
        Some(match self {
            Self::Text { .. } | Self::Label(_) | Self::Labels(_) => Kind::Text,
            Self::Integer { min, max }
                if *min < i128::from(i64::MIN) || *max > i128::from(i64::MAX) =>
            {
                Kind::Decimal
            }
            Self::Integer { .. } => Kind::Integer,
            Self::Decimal { .. } | Self::DecimalAsFloat { .. } => Kind::Decimal,
            Self::Float { bits: 32 } => Kind::Float32,
            Self::Float { .. } => Kind::Float64,
            Self::Boolean => Kind::Boolean,
            Self::Date => Kind::Date,
            Self::Time { .. } => Kind::Time,
            Self::Timestamp { .. } => Kind::Timestamp,
            Self::Instant { .. } => Kind::Instant,
            Self::Uuid => Kind::Uuid,
            Self::Json => Kind::Json,
            Self::Unsupported => return None,
        })
    }

    /// The schema type that carries what such a column holds; `None` if write-backs do not carry
    /// it.
    pub(crate) fn schema_type(&self) -> Option<SchemaType> {
        Some(match self {
            Self::Text {
                limit: Some(TextLimit::Characters(characters)),
                ..
            } => SchemaType::Text {
                characters_max: u32::try_from(*characters).ok(),
            },
            Self::Text { .. } | Self::Label(_) | Self::Labels(_) => SchemaType::Text {
                characters_max: None,
            },
            Self::Integer { min, max } => integer_type(*min, *max),
            Self::Decimal { size } | Self::DecimalAsFloat { size } => SchemaType::Decimal {
                size: size.map(|(precision, scale)| DecimalSize { precision, scale }),
            },
            Self::Float { bits } => SchemaType::Float { bits: *bits },
            Self::Boolean => SchemaType::Boolean,
            Self::Date => SchemaType::Date,
            Self::Time { .. } => SchemaType::Time,
            Self::Timestamp { .. } => SchemaType::Timestamp,
            Self::Instant { .. } => SchemaType::TimestampWithZone,
            Self::Uuid => SchemaType::Uuid,
            Self::Json => SchemaType::Json,
            Self::Unsupported => return None,
        })
    }
}

/// The smallest of the schema's types that holds the range: beyond 64 signed bits there are only
/// decimals.
fn integer_type(min: i128, max: i128) -> SchemaType {
    let fits = |bits: &u8| min >= -(1_i128 << (bits - 1)) && max < (1_i128 << (bits - 1));
    match [16, 32, 64].into_iter().find(fits) {
        Some(bits) => SchemaType::Integer { bits },
        None => SchemaType::Decimal {
            size: Some(DecimalSize {
                precision: 20,
                scale: 0,
            }),
        },
    }
}

/// Finds the name meant by `wanted` among `known`: exactly first; if unquoted, then the only one
/// that differs in case. Errors: the candidates, if several differ only in case; none, if the name
/// is unknown.
pub(crate) fn resolve_name<'a>(
    wanted: &NamePart,
    known: impl Iterator<Item = &'a str> + Clone,
) -> Result<&'a str, NameError> {
    if let Some(exact) = known.clone().find(|name| *name == wanted.text) {
        return Ok(exact);
    }
    let folded = wanted.text.to_lowercase();
    let mut alike = known.filter(|name| !wanted.quoted && name.to_lowercase() == folded);
    match (alike.next(), alike.next()) {
        (Some(only), None) => Ok(only),
        (Some(first), Some(second)) => {
            let candidates = [first, second]
                .into_iter()
                .chain(alike)
                .map(str::to_owned)
                .collect();
            Err(NameError::Ambiguous { candidates })
        }
        (None, _) => Err(NameError::Unknown),
    }
}

/// Why a name is not found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NameError {
    Unknown,
    /// Several names differ from the wanted one only in case.
    Ambiguous {
        candidates: Vec<String>,
    },
}
