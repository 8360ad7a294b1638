//! The batch size curve as a picture.

use std::error::Error;
use std::path::Path;

use plotters::prelude::{
    ChartBuilder, Circle, EmptyElement, IntoDrawingArea, IntoLogRange, LineSeries, PointSeries,
    RGBColor, SVGBackend, Text, TextStyle,
};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, IntoTextStyle};

use crate::extras::Point;
use crate::report::grouped;

/// In pixels.
const SIZE: (u32, u32) = (760, 400);

/// Colors that read on white and on black: the ground is left transparent.
const INK: RGBColor = RGBColor(125, 133, 144);
const CURVE: RGBColor = RGBColor(47, 129, 247);

/// Draws records per second over batch size, both in powers of ten.
pub(crate) fn draw(points: &[Point], file: &Path) -> Result<(), Box<dyn Error>> {
    let places: Vec<(f64, f64)> = points.iter().map(place).collect();
    let (widest, highest) = places.iter().fold((1.0_f64, 1.0_f64), |most, at| {
        (most.0.max(at.0), most.1.max(at.1))
    });
    let lowest = places.iter().fold(highest, |least, at| least.min(at.1));
    let area = SVGBackend::new(file, SIZE).into_drawing_area();
    let mut chart = ChartBuilder::on(&area)
        .margin(16)
        .x_label_area_size(44)
        .y_label_area_size(84)
        .build_cartesian_2d(
            (0.8..widest * 2.0).log_scale(),
            (lowest / 2.0..highest * 2.5).log_scale(),
        )?;
    chart
        .configure_mesh()
        .disable_mesh()
        .axis_style(INK)
        .label_style(style(15))
        .axis_desc_style(style(17))
        .x_desc("batch_size")
        .y_desc("records per second")
        .x_label_formatter(&shown)
        .y_label_formatter(&shown)
        .draw()?;
    chart.draw_series(LineSeries::new(
        places.iter().copied(),
        CURVE.stroke_width(2),
    ))?;
    chart.draw_series(PointSeries::of_element(
        places,
        4,
        CURVE,
        &|at, size, color| {
            let centered = style(15).pos(Pos::new(HPos::Center, VPos::Bottom));
            let label = Text::new(shown(&at.1), (0, -8), centered);
            EmptyElement::at(at) + Circle::new((0, 0), size, color.filled()) + label
        },
    ))?;
    area.present()?;
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "a picture is not so fine")]
fn place(point: &Point) -> (f64, f64) {
    (point.batch_size as f64, point.records_per_second())
}

fn style(size: u32) -> TextStyle<'static> {
    ("sans-serif", size).into_text_style(&SIZE).color(&INK)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "labels are positive and small"
)]
fn shown(number: &f64) -> String {
    grouped(number.round() as u64)
}
