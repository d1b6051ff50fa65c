//! A chart: lines over two axes, drawn as SVG that is readable 330 pixels wide, in print, and where
//! colours cannot be told apart (each series has a shape of its own).

use std::ops::Range;

use askama::Template;
use plotters::coord::ranged1d::{DefaultFormatting, KeyPointHint};
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

/// Twice the size at which it is meant to be seen: the backend knows whole numbers only.
const SIZE: (u32, u32) = (720, 460);
/// Of text, at that size. Font sizes of the backend are 1.24 times those of the picture.
const TEXT: f64 = 30.0;

/// Colours of series, on white. The style sheet has the ones for dark screens, by these.
pub(super) const COLOURS: [RGBColor; 6] = [
    RGBColor(0x0b, 0x5f, 0xa5),
    RGBColor(0xb4, 0x53, 0x09),
    RGBColor(0x15, 0x80, 0x3d),
    RGBColor(0x7e, 0x22, 0xce),
    RGBColor(0xbe, 0x18, 0x5d),
    RGBColor(0x47, 0x55, 0x69),
];
/// Shapes of their points, as signs for the legend.
pub(super) const SHAPES: [&str; 4] = ["●", "▲", "■", "✖"];
const GRID: RGBColor = RGBColor(0xd0, 0xd7, 0xde);

/// One line.
pub(super) struct Line {
    /// Which series, for colour and shape.
    pub(super) series: usize,
    pub(super) points: Vec<(f64, f64)>,
    /// Where the shape of its series is drawn.
    pub(super) marks: Vec<(f64, f64)>,
    /// Lowest and highest value at some places.
    pub(super) ranges: Vec<(f64, f64, f64)>,
}

/// How an axis says a value.
pub(super) type Say<'a> = &'a dyn Fn(&f64) -> String;

/// An axis.
pub(super) struct Axis<'a> {
    pub(super) range: Range<f64>,
    /// Where it is labelled; chosen by the range when empty.
    pub(super) ticks: Vec<f64>,
    pub(super) say: Say<'a>,
    pub(super) name: &'a str,
}

/// A chart with its words.
pub(super) struct Chart<'a> {
    /// Unique in the page.
    pub(super) id: String,
    pub(super) title: String,
    /// What is to be seen, for those who do not see it.
    pub(super) description: String,
    pub(super) x: Axis<'a>,
    pub(super) y: Axis<'a>,
    pub(super) lines: Vec<Line>,
}

/// The frame of a chart: everything said is escaped here, and by the backend.
#[derive(Template)]
#[template(
    ext = "html",
    source = r#"<svg class="chart" role="img" viewBox="0 0 {{ width }} {{ height }}" aria-labelledby="{{ id }}-t {{ id }}-d" xmlns="http://www.w3.org/2000/svg"><title id="{{ id }}-t">{{ title }}</title><desc id="{{ id }}-d">{{ description }}</desc>
{{ body|safe }}"#
)]
struct Frame<'a> {
    id: &'a str,
    title: &'a str,
    description: &'a str,
    width: u32,
    height: u32,
    body: &'a str,
}

impl Chart<'_> {
    /// The SVG.
    pub(super) fn svg(&self) -> Result<String, String> {
        let mut drawn = String::new();
        self.draw(SVGBackend::with_string(&mut drawn, SIZE))
            .map_err(|e| format!("the chart \"{}\" cannot be drawn: {e}", self.title))?;
        // The backend's first tag has no words and no class: the frame's takes its place.
        let (_, body) = drawn.split_once('>').unwrap_or_default();
        let frame = Frame {
            id: &self.id,
            title: &self.title,
            description: &self.description,
            width: SIZE.0,
            height: SIZE.1,
            body: body.trim(),
        };
        frame.render().map_err(|e| e.to_string())
    }

    fn draw(&self, backend: SVGBackend<'_>) -> Result<(), Box<dyn std::error::Error>> {
        let area = backend.into_drawing_area();
        let text = ("sans-serif", TEXT).into_text_style(&area);
        let mut chart = ChartBuilder::on(&area)
            .margin(12)
            .margin_right(60)
            .x_label_area_size(84)
            .y_label_area_size(140)
            .build_cartesian_2d(self.x.scale(), self.y.scale())?;
        chart
            .configure_mesh()
            .x_desc(self.x.name)
            .y_desc(self.y.name)
            .axis_desc_style(text.clone())
            .label_style(text.clone())
            .x_label_formatter(self.x.say)
            .y_label_formatter(self.y.say)
            .x_labels(6)
            .y_labels(6)
            .bold_line_style(GRID.stroke_width(2))
            .light_line_style(TRANSPARENT)
            .axis_style(GRID.stroke_width(2))
            .draw()?;
        for line in &self.lines {
            let colour = COLOURS[line.series % COLOURS.len()];
            let points = line.points.iter().copied();
            chart.draw_series(LineSeries::new(points, colour.stroke_width(4)))?;
            chart.draw_series(line.ranges.iter().map(|&(x, low, high)| {
                PathElement::new([(x, low), (x, high)], colour.stroke_width(6))
            }))?;
            let shape = SHAPES[line.series % SHAPES.len()];
            let middle = Pos::new(HPos::Center, VPos::Center);
            let style = text.clone().color(&colour).pos(middle);
            chart.draw_series(
                line.marks.iter().map(|&point| {
                    EmptyElement::at(point) + Text::new(shape, (0, 0), style.clone())
                }),
            )?;
        }
        area.present()?;
        Ok(())
    }
}

impl Axis<'_> {
    fn scale(&self) -> Scale {
        Scale {
            range: self.range.clone().into(),
            ticks: self.ticks.clone(),
        }
    }
}

/// A range that is labelled where it is told to be, else at round values.
struct Scale {
    range: RangedCoordf64,
    ticks: Vec<f64>,
}

impl Ranged for Scale {
    type FormatOption = DefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, limit: (i32, i32)) -> i32 {
        self.range.map(value, limit)
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        if self.ticks.is_empty() {
            return self.range.key_points(hint);
        }
        // All of them, or evenly fewer.
        let each = self.ticks.len().div_ceil(hint.max_num_points().max(1));
        self.ticks.iter().copied().step_by(each).collect()
    }

    fn range(&self) -> Range<f64> {
        self.range.range()
    }
}

/// Whole powers of ten around these values, as exponents, and a range that holds them.
pub(super) fn decades(values: impl Iterator<Item = f64>) -> (Range<f64>, Vec<f64>) {
    let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
    for value in values.filter(|v| *v > 0.0) {
        low = low.min(value.log10().floor());
        high = high.max(value.log10().ceil());
    }
    if low > high {
        (low, high) = (0.0, 1.0);
    }
    let high = high.max(low + 1.0);
    let ticks = (low as i32..=high as i32).map(f64::from).collect();
    (low..high, ticks)
}

/// A whole power of ten, without the error of a logarithm and back.
pub(super) fn ten_to(exponent: f64) -> f64 {
    let whole = exponent.round();
    if (exponent - whole).abs() < 1e-9 {
        10f64.powi(whole as i32)
    } else {
        10f64.powf(exponent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decades_hold_their_values() {
        let (range, ticks) = decades([320.0, 45_000.0].into_iter());
        assert_eq!(range, 2.0..5.0);
        assert_eq!(ticks, [2.0, 3.0, 4.0, 5.0]);
        assert_eq!(decades([1_000.0].into_iter()).0, 3.0..4.0);
        assert_eq!(decades(std::iter::empty()).0, 0.0..1.0);
        assert_eq!(decades([0.0, f64::NAN].into_iter()).0, 0.0..1.0);
    }

    #[test]
    fn a_chart_has_words_and_nothing_in_it_is_taken_for_markup() {
        let say = |v: &f64| format!("<{v}>");
        let axis = |name| Axis {
            range: 0.0..1.0,
            ticks: vec![0.0, 1.0],
            say: &say,
            name,
        };
        let chart = Chart {
            id: "c1".into(),
            title: "a <b> & \"c\"".into(),
            description: "</desc><script>".into(),
            x: axis("x <i>"),
            y: axis("y"),
            lines: vec![Line {
                series: 7,
                points: vec![(0.0, 0.5), (1.0, 1.0)],
                marks: vec![(1.0, 1.0)],
                ranges: vec![(0.0, 0.4, 0.6)],
            }],
        };
        let svg = chart.svg().unwrap();
        assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>"), "{svg}");
        assert!(svg.contains(r#"aria-labelledby="c1-t c1-d""#));
        for wrong in ["<b>", "<i>", "<script>", "<0>"] {
            assert!(!svg.contains(wrong), "{wrong} in {svg}");
        }
        assert_eq!(svg.matches("<svg").count(), 1);
        assert!(svg.contains("✖") && svg.contains("#B45309"), "{svg}");
    }
}
