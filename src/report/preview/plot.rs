//! Plots as SVG for a page: their colours are the page's, so that they follow its theme, and each
//! tells in words what it shows. The crate that draws them knows fixed colours only, so it draws in
//! stand-ins.

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use strum::{EnumCount, VariantArray};

use super::number;
use crate::domain::outcome::grouped;
use crate::run::preview::numbers::Histogram;

/// Width of a plot, in pixels.
const WIDTH: u32 = 900;
const HISTOGRAM_HEIGHT: u32 = 280;
/// Height of a bar with its label above it, in pixels.
const ROW_HEIGHT: i32 = 40;
/// Length of the longest bar, in pixels: behind it there is room for its count.
const BAR_MAX: u64 = 720;
/// In the crate's own unit, of which a pixel has 1.24.
const FONT_SIZE: f64 = 16.0;

/// What a part of a plot means; the page has a colour for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, EnumCount, VariantArray)]
pub(super) enum Tone {
    Text,
    Line,
    Before,
    After,
    Rejected,
}

impl Tone {
    const ALL: [Self; Self::COUNT] = *Self::VARIANTS.first_chunk().expect("all of them");

    /// The page's variable.
    fn variable(self) -> &'static str {
        match self {
            Self::Text => "var(--text)",
            Self::Line => "var(--line)",
            Self::Before => "var(--before)",
            Self::After => "var(--after)",
            Self::Rejected => "var(--rejected)",
        }
    }

    /// What the variable is drawn as.
    fn stand_in(self) -> RGBColor {
        match self {
            Self::Text => RGBColor(0, 0, 1),
            Self::Line => RGBColor(0, 0, 2),
            Self::Before => RGBColor(0, 0, 3),
            Self::After => RGBColor(0, 0, 4),
            Self::Rejected => RGBColor(0, 0, 5),
        }
    }

    fn font(self) -> TextStyle<'static> {
        ("sans-serif", FONT_SIZE)
            .into_font()
            .color(&self.stand_in())
    }
}

/// What a plot is called and what it shows, for whoever does not see it.
#[derive(Debug, Clone)]
pub(super) struct Caption {
    /// Unique in the page.
    pub(super) id: String,
    pub(super) title: String,
    pub(super) description: String,
}

/// One bar.
#[derive(Debug, Clone)]
pub(super) struct Bar {
    pub(super) label: String,
    pub(super) records: u64,
    /// What is written at its end.
    pub(super) count: String,
    pub(super) tone: Tone,
}

/// Bars that lie one below the other, each under its label; nothing, if it cannot be drawn.
pub(super) fn bars(caption: &Caption, bars: &[Bar]) -> String {
    let rows = i32::try_from(bars.len()).unwrap_or(i32::MAX);
    let height = u32::try_from(rows.saturating_mul(ROW_HEIGHT)).unwrap_or(u32::MAX);
    let longest = bars.iter().map(|bar| bar.records).max().unwrap_or(0).max(1);
    drawn(caption, height, |area| {
        bars.iter()
            .zip(0..)
            .try_for_each(|(bar, row)| draw_bar(area, bar, row * ROW_HEIGHT, longest))
    })
}

fn draw_bar(
    area: &DrawingArea<SVGBackend<'_>, Shift>,
    bar: &Bar,
    top: i32,
    longest: u64,
) -> Option<()> {
    let length = u128::from(bar.records) * u128::from(BAR_MAX) / u128::from(longest);
    let least = i32::from(bar.records > 0) * 2;
    let length = i32::try_from(length).unwrap_or(0).max(least);
    let font = Tone::Text.font();
    let label = font.pos(Pos::new(HPos::Left, VPos::Top));
    area.draw_text(&bar.label, &label, (0, top + 2)).ok()?;
    let body = Rectangle::new(
        [(0, top + 20), (length, top + 34)],
        bar.tone.stand_in().filled(),
    );
    area.draw(&body).ok()?;
    let count = font.pos(Pos::new(HPos::Left, VPos::Center));
    area.draw_text(&bar.count, &count, (length + 8, top + 27))
        .ok()
}

/// Numbers before as a filled shape, after as a line; nothing, if it cannot be drawn.
pub(super) fn histogram(caption: &Caption, histogram: &Histogram) -> String {
    drawn(caption, HISTOGRAM_HEIGHT, |area| {
        draw_histogram(area, histogram)
    })
}

fn draw_histogram(area: &DrawingArea<SVGBackend<'_>, Shift>, histogram: &Histogram) -> Option<()> {
    let (first, last) = (*histogram.edges.first()?, *histogram.edges.last()?);
    let highest = histogram
        .before
        .iter()
        .chain(&histogram.after)
        .copied()
        .max()?;
    let mut chart = ChartBuilder::on(area)
        .margin(6)
        .margin_right(24)
        .x_label_area_size(32)
        .y_label_area_size(72)
        .build_cartesian_2d(first..last, 0..highest.saturating_add(highest / 20).max(1))
        .ok()?;
    let line = Tone::Line.stand_in();
    chart
        .configure_mesh()
        .disable_x_mesh()
        .y_labels(5)
        .x_labels(8)
        .light_line_style(TRANSPARENT)
        .bold_line_style(line)
        .axis_style(line)
        .label_style(Tone::Text.font())
        .x_label_formatter(&|edge| number(*edge))
        .y_label_formatter(&|records| grouped(*records))
        .draw()
        .ok()?;
    let before = outline(&histogram.edges, &histogram.before);
    let after = outline(&histogram.edges, &histogram.after);
    chart
        .draw_series([Polygon::new(before, Tone::Before.stand_in().mix(0.55))])
        .ok()?;
    chart
        .draw_series([Polygon::new(
            after.clone(),
            Tone::After.stand_in().mix(0.12),
        )])
        .ok()?;
    chart
        .draw_series([PathElement::new(
            after,
            Tone::After.stand_in().stroke_width(2),
        )])
        .ok()?;
    Some(())
}

/// The steps that the bars' tops make, from the ground to the ground.
fn outline(edges: &[f64], counts: &[u64]) -> Vec<(f64, u64)> {
    let tops = edges.iter().zip(edges.iter().skip(1)).zip(counts);
    let steps = tops.flat_map(|((low, high), count)| [(*low, *count), (*high, *count)]);
    let ground = |edge: Option<&f64>| edge.map(|edge| (*edge, 0));
    ground(edges.first())
        .into_iter()
        .chain(steps)
        .chain(ground(edges.last()))
        .collect()
}

/// Draws into memory, which fails for nothing but a plot that has no room.
fn drawn(
    caption: &Caption,
    height: u32,
    draw: impl FnOnce(&DrawingArea<SVGBackend<'_>, Shift>) -> Option<()>,
) -> String {
    let mut svg = String::new();
    let drawn = {
        let area = SVGBackend::with_string(&mut svg, (WIDTH, height)).into_drawing_area();
        draw(&area).and_then(|()| area.present().ok())
    };
    if drawn.is_some() {
        finished(&svg, caption)
    } else {
        String::new()
    }
}

/// The drawing with its caption, in the page's colours. Text of a drawing has no quotation marks of
/// its own: they are escaped in it, so that no value can pass for an attribute.
fn finished(
    svg: &str,
    Caption {
        id,
        title,
        description,
    }: &Caption,
) -> String {
    let Some((_, body)) = svg.split_once('>') else {
        return String::new();
    };
    let Some(size) = svg
        .split_once("<svg")
        .and_then(|(_, rest)| rest.split_once('>'))
        .map(|(size, _)| size)
    else {
        return String::new();
    };
    let mut body = body.to_owned();
    for tone in Tone::ALL {
        let RGBColor(red, green, blue) = tone.stand_in();
        let stand_in = format!("\"#{red:02X}{green:02X}{blue:02X}\"");
        body = body.replace(&stand_in, &format!("\"{}\"", tone.variable()));
    }
    let captions = maud::html! {
        title id=(format!("{id}-title")) { (title) }
        desc id=(format!("{id}-text")) { (description) }
    };
    let captions = captions.into_string();
    format!(
        "<svg class=\"plot\" role=\"img\" aria-labelledby=\"{id}-title {id}-text\"{size}>{captions}{body}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caption() -> Caption {
        let title = "<b>title</b>".to_owned();
        Caption {
            id: "plot-1".to_owned(),
            title,
            description: "\"words\" & more".to_owned(),
        }
    }

    fn bar(label: &str, records: u64) -> Bar {
        Bar {
            label: label.to_owned(),
            records,
            count: grouped(records),
            tone: Tone::After,
        }
    }

    #[test]
    fn a_plot_has_the_page_s_colours_only_and_says_what_it_is() {
        let histogram = Histogram {
            edges: vec![0.0, 0.5, 1.0, 1.5],
            before: vec![1, 0, 2],
            after: vec![0, 3, 0],
            about: false,
        };
        for svg in [
            super::histogram(&caption(), &histogram),
            bars(&caption(), &[bar("low → high", 3)]),
        ] {
            assert!(svg.starts_with(
                "<svg class=\"plot\" role=\"img\" aria-labelledby=\"plot-1-title plot-1-text\""
            ));
            assert!(
                svg.contains("<title id=\"plot-1-title\">&lt;b&gt;title&lt;/b&gt;</title>"),
                "{svg}"
            );
            assert!(
                svg.contains("var(--after)") && svg.contains("var(--text)"),
                "{svg}"
            );
            assert!(!svg.contains("\"#"), "a fixed colour is left: {svg}");
            assert!(svg.trim_end().ends_with("</svg>") && svg.matches("<svg").count() == 1);
        }
    }

    #[test]
    fn a_label_is_text_and_nothing_else() {
        let hostile = "</text><script>alert('1')</script>\"#000001\"";
        let svg = bars(&caption(), &[bar(hostile, 1)]);
        assert!(
            !svg.contains("<script") && svg.contains("&lt;script&gt;"),
            "{svg}"
        );
        assert!(svg.contains("&quot;#000001&quot;"), "{svg}");
    }

    #[test]
    fn the_longest_bar_fits_and_the_shortest_is_seen() {
        let svg = bars(
            &caption(),
            &[bar("most", u64::MAX), bar("one", 1), bar("none", 0)],
        );
        for width in [BAR_MAX, 2, 0] {
            assert!(
                svg.contains(&format!("width=\"{width}\"")),
                "{width}: {svg}"
            );
        }
    }
}
