//! Rows that fit: what is found that also holds what is demanded of it.

use polars::prelude::{Column, DataFrame, IntoColumn, Scalar};

use super::layout::{Demand, Layout, LayoutField};

/// Every way in which rows can fit: of each demand one value, in the demands' order.
fn ways(demands: &[Demand]) -> Vec<Vec<&Scalar>> {
    let mut ways = vec![Vec::new()];
    for demand in demands {
        let with = |way: Vec<_>| {
            let values = demand.values.iter();
            values.map(move |value| {
                let mut longer = way.clone();
                longer.push(value);
                longer
            })
        };
        ways = ways.into_iter().flat_map(with).collect();
    }
    ways
}

/// The layout by which rows are found that fit: key fields with the demands behind them, all of
/// them part of the key.
pub(crate) fn fitting_layout(layout: &Layout, demands: &[Demand]) -> Layout {
    let own = layout.key_fields().cloned();
    let fields: Vec<LayoutField> = own
        .chain(demands.iter().map(|demand| demand.field.clone()))
        .collect();
    Layout {
        key: (0..fields.len()).collect(),
        fields,
        only_where: Vec::new(),
        ..layout.clone()
    }
}

/// What is to be looked up by [`fitting_layout`]: a record's key with one way of fitting each.
/// Shape: `(records, key fields)` in; as many frames as there are ways, each with as many records.
pub(crate) fn fitting_keys(keys: &DataFrame, demands: &[Demand]) -> Vec<DataFrame> {
    let height = keys.height();
    let frame = |way: Vec<&Scalar>| {
        let constant = |(demand, value): (&Demand, &Scalar)| {
            let name = demand.field.column.name.as_str().into();
            Column::new_scalar(name, value.clone(), height)
                .take_materialized_series()
                .into_column()
        };
        let constants = demands.iter().zip(way).map(constant);
        let columns = keys.columns().iter().cloned().chain(constants);
        DataFrame::new(height, columns.collect())
            .expect("no condition is on a column that rows are found by")
    };
    ways(demands).into_iter().map(frame).collect()
}

#[cfg(test)]
mod tests {
    use polars::prelude::{AnyValue, DataType, df};

    use super::*;
    use crate::domain::object::{Holds, ObjectColumn, Repertoire};
    use crate::domain::value::Kind;

    fn demand(name: &str, values: &[&'static str]) -> Demand {
        let holds = Holds::Text {
            limit: None,
            repertoire: Repertoire::Unicode { nul: false },
        };
        let field = LayoutField::plain(ObjectColumn::plain(name, "text", holds), Kind::Text);
        let value = |text: &&'static str| Scalar::new(DataType::String, AnyValue::String(text));
        Demand {
            field: LayoutField { key: true, ..field },
            values: values.iter().map(value).collect(),
        }
    }

    #[test]
    fn a_row_fits_in_as_many_ways_as_values_can_be_combined() {
        let demands = [demand("kind", &["a", "b"]), demand("region", &["EU"])];
        let keys = df!("id" => ["1", "2"]).expect("a frame");
        let frames = fitting_keys(&keys, &demands);
        let told: Vec<String> = frames
            .iter()
            .map(|frame| {
                let text = |name: &str| {
                    let column = frame.column(name).expect("a column");
                    column.str().expect("texts").get(1).unwrap_or("").to_owned()
                };
                format!("{} {} {}", text("id"), text("kind"), text("region"))
            })
            .collect();
        assert_eq!(told, ["2 a EU", "2 b EU"]);
        assert_eq!(fitting_keys(&keys, &[]).len(), 1);
    }
}
