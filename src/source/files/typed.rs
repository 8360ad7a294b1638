//! The types of a model's columns where files have none: a column of CSV or JSON that the model
//! compares, orders by or calculates with has the type that the schema declares for its name,
//! exactly as conforming reads it. Otherwise `100.00` would come before `20.00`, in silence. What a
//! model only hands on stays text and is judged record by record.

use std::collections::HashMap;
use std::convert::Infallible;
use std::ops::ControlFlow;

use polars::prelude::{
    Column, DataFrame, DataType, Float64Chunked, IntoColumn, IntoSeries, NewChunkedArray, Series,
    StringChunked, TimeUnit, TimeZone,
};
use sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, SelectItem, SetExpr,
    Statement, Visit, Visitor,
};

use super::folder::TableFile;
use crate::domain::conform::parse_texts;
use crate::domain::error::SystemError;
use crate::domain::record::RECORD_POSITION;
use crate::domain::schema::{Schema, SchemaColumn, SchemaType};

/// Functions whose argument is text, or may be: a model that calls them means the text of the file.
const TEXT_FUNCTIONS: [&str; 21] = [
    "bit_length",
    "coalesce",
    "concat",
    "concat_ws",
    "count",
    "ends_with",
    "initcap",
    "left",
    "length",
    "lower",
    "ltrim",
    "nullif",
    "octet_length",
    "regexp_like",
    "replace",
    "right",
    "rtrim",
    "starts_with",
    "substr",
    "trim",
    "upper",
];

/// Digits of the largest decimal that a float of 64 bits gives back as it was: polars orders and
/// groups no decimals here.
const DECIMAL_DIGITS_MAX: u16 = 15;

/// Columns that a model takes for more than text, by their names in lower case.
#[derive(Debug, Default)]
pub(super) struct TypedColumns {
    types: HashMap<String, SchemaType>,
}

impl TypedColumns {
    /// The columns of the schema whose types the model relies on.
    pub(super) fn of(schema: &Schema, model: &[Statement]) -> Self {
        let mut uses = Uses::default();
        for statement in model {
            let ControlFlow::Continue(()) = statement.visit(&mut uses);
            if let Statement::Query(query) = statement {
                uses.hand_on(&query.body);
            }
        }
        let mut types = HashMap::new();
        for SchemaColumn {
            name, column_type, ..
        } in &schema.columns
        {
            let is_text = matches!(column_type, SchemaType::Text { .. } | SchemaType::Json);
            if !is_text && uses.of(name) > 0 {
                types.insert(name.to_lowercase(), *column_type);
                let handed_on = uses
                    .aliases
                    .iter()
                    .filter(|(_, alias)| *alias == name.to_lowercase());
                types.extend(handed_on.map(|(column, _)| (column.clone(), *column_type)));
            }
        }
        Self { types }
    }

    fn get(&self, column: &str) -> Option<SchemaType> {
        self.types.get(&column.to_lowercase()).copied()
    }

    /// The type of a column of text as the model meets it.
    /// Errors: in words, for a decimal of more digits than can be calculated with.
    pub(super) fn data_type(&self, column: &str) -> Result<DataType, String> {
        let Some(schema_type) = self.get(column) else {
            return Ok(DataType::String);
        };
        if let SchemaType::Decimal { size } = schema_type {
            return match size.filter(|size| size.precision <= DECIMAL_DIGITS_MAX) {
                Some(_) => Ok(DataType::Float64),
                None => Err(format!(
                    "column `{column}` is {schema_type} in the schema, and a model compares decimals of \
                     {DECIMAL_DIGITS_MAX} digits at most; write `CAST({column} AS …)` in the model"
                )),
            };
        }
        let zone = (schema_type == SchemaType::TimestampWithZone).then_some(TimeZone::UTC);
        Ok(match zone {
            Some(zone) => DataType::Datetime(TimeUnit::Microseconds, Some(zone)),
            None => schema_type.kind().representation(),
        })
    }

    /// Gives the columns of a chunk their types. Shape: `(records, columns of text +
    /// RECORD_POSITION)` in and out. Errors: a value that its column cannot hold; here its record
    /// cannot be rejected, since nobody could say which of the model's records it would have
    /// become.
    pub(super) fn convert(
        &self,
        table: &TableFile,
        records: &DataFrame,
    ) -> Result<DataFrame, SystemError> {
        let mut columns = Vec::with_capacity(records.width());
        for column in records.columns() {
            columns.push(match (self.get(column.name()), column.str()) {
                (Some(schema_type), Ok(texts)) => {
                    convert_column(table, records, texts, schema_type)?
                }
                (_, _) => column.clone(),
            });
        }
        DataFrame::new(records.height(), columns).map_err(|error| table.failed(error))
    }
}

fn convert_column(
    table: &TableFile,
    records: &DataFrame,
    texts: &StringChunked,
    schema_type: SchemaType,
) -> Result<Column, SystemError> {
    let name = texts.name();
    let converted =
        parse_texts(texts, schema_type).map_err(|misfit| table.failed(misfit.to_string()))?;
    if let Some(fault) = converted.faults.first() {
        let positions = records
            .column(RECORD_POSITION)
            .and_then(|column| Ok(column.u64()?.get(fault.index)));
        let record = positions.ok().flatten().unwrap_or_default() + 1;
        let cause = format!(
            "record {record}, column `{}`: {}",
            name.escape_debug(),
            fault.reason
        );
        let hint = format!(
            "mend the record, or write `CAST(NULLIF({name}, …) AS {schema_type})` where the model uses it"
        );
        return Err(table.failed_with_hint(cause, Some(hint)));
    }
    let values = if let SchemaType::Decimal { .. } = schema_type {
        decimals(&converted.values)
    } else if schema_type == SchemaType::TimestampWithZone {
        let instants = converted
            .values
            .datetime()
            .ok()
            .map(|instants| instants.phys.clone());
        instants.map(|micros| {
            micros
                .into_datetime(TimeUnit::Microseconds, Some(TimeZone::UTC))
                .into_series()
        })
    } else {
        Some(converted.values.clone())
    };
    let values = values.ok_or_else(|| {
        table.failed(format!(
            "column `{}` could not be typed",
            name.escape_debug()
        ))
    })?;
    Ok(values.with_name(name.clone()).into_column())
}

/// Decimals as the floats that are written with the same digits.
fn decimals(texts: &Series) -> Option<Series> {
    let number = |text: Option<&str>| text.map(str::parse::<f64>).transpose().ok();
    let values: Option<Vec<Option<f64>>> = texts.str().ok()?.iter().map(number).collect();
    Some(Float64Chunked::from_iter_options(texts.name().clone(), values?.into_iter()).into_series())
}

/// How often a model names each column, by its name in lower case, but where it means its text.
#[derive(Debug, Default)]
struct Uses {
    counts: HashMap<String, i64>,
    /// Columns that the outermost query hands on under another name.
    aliases: Vec<(String, String)>,
}

impl Uses {
    fn of(&self, column: &str) -> i64 {
        self.counts
            .get(&column.to_lowercase())
            .copied()
            .unwrap_or_default()
    }

    fn count(&mut self, expression: &Expr, times: i64) {
        if let Some(name) = column_name(expression) {
            *self.counts.entry(name).or_default() += times;
        }
    }

    /// Takes back what the outermost query hands on as it is.
    fn hand_on(&mut self, body: &SetExpr) {
        if let SetExpr::Select(select) = body {
            for item in &select.projection {
                if let SelectItem::UnnamedExpr(column)
                | SelectItem::ExprWithAlias { expr: column, .. } = item
                {
                    self.count(column, -1);
                }
                if let SelectItem::ExprWithAlias {
                    expr: column,
                    alias,
                } = item
                {
                    self.aliases
                        .extend(column_name(column).map(|name| (name, alias.value.to_lowercase())));
                }
            }
        } else if let SetExpr::SetOperation { left, right, .. } = body {
            self.hand_on(left);
            self.hand_on(right);
        } else if let SetExpr::Query(query) = body {
            self.hand_on(&query.body);
        }
    }
}

impl Visitor for Uses {
    type Break = Infallible;

    fn pre_visit_expr(&mut self, expression: &Expr) -> ControlFlow<Infallible> {
        if let Expr::Identifier(_) | Expr::CompoundIdentifier(_) = expression {
            self.count(expression, 1);
        } else if let Expr::Cast { expr: inner, .. }
        | Expr::Like { expr: inner, .. }
        | Expr::ILike { expr: inner, .. }
        | Expr::IsNull(inner)
        | Expr::IsNotNull(inner)
        | Expr::Trim { expr: inner, .. }
        | Expr::Substring { expr: inner, .. } = expression
        {
            self.count(inner, -1);
        } else if let Expr::Function(function) = expression
            && is_of_text(function)
        {
            arguments(function).for_each(|argument| self.count(argument, -1));
        }
        ControlFlow::Continue(())
    }
}

fn is_of_text(function: &Function) -> bool {
    TEXT_FUNCTIONS.contains(&function.name.to_string().to_lowercase().as_str())
}

fn arguments(function: &Function) -> impl Iterator<Item = &Expr> {
    let list = if let FunctionArguments::List(list) = &function.args {
        list.args.as_slice()
    } else {
        &[]
    };
    list.iter().filter_map(|argument| {
        if let FunctionArg::Unnamed(FunctionArgExpr::Expr(expression)) = argument {
            Some(expression)
        } else {
            None
        }
    })
}

/// The column that an expression is, in lower case.
fn column_name(expression: &Expr) -> Option<String> {
    if let Expr::Nested(inner) = expression {
        return column_name(inner);
    }
    let name = if let Expr::CompoundIdentifier(parts) = expression {
        parts.last()
    } else if let Expr::Identifier(name) = expression {
        Some(name)
    } else {
        None
    };
    name.map(|name| name.value.to_lowercase())
}
