//! The figures as pictures: bars with their ranges, one SVG file for each instrument.

use std::path::Path;

use anyhow::{Context as _, Result, anyhow};
use plotters::prelude::*;

use super::report::Report;

/// One bar: its name, its length, and the range it varied in.
struct Bar {
    name: String,
    value: f64,
    range: Option<(f64, f64)>,
}

const WIDTH: u32 = 1000;
const BAR_HEIGHT: u32 = 22;
const NAMES_WIDTH: u32 = 340;

/// Draws what was measured into a directory, which is made.
pub(super) fn draw(report: &Report, directory: &Path) -> Result<()> {
    std::fs::create_dir_all(directory)
        .with_context(|| format!("cannot make {}", directory.display()))?;
    let bars = |bar: &dyn Fn(&super::report::Row) -> Option<Bar>| -> Vec<Bar> {
        report.rows.iter().filter_map(bar).collect()
    };
    let times = bars(&|row| {
        Some(Bar {
            name: row.scenario.clone(),
            value: approximate(row.ns?),
            range: row
                .ns_range
                .map(|(low, high)| (approximate(low), approximate(high))),
        })
    });
    let instructions = bars(&|row| {
        Some(Bar {
            name: row.scenario.clone(),
            value: approximate(row.instructions?),
            range: None,
        })
    });
    let ratios = bars(&|row| {
        Some(Bar {
            name: row.scenario.clone(),
            value: row.ratio?,
            range: row.ratio_range,
        })
    });
    let charts = [
        ("time.svg", "Nanoseconds of a packet", times),
        ("instructions.svg", "Instructions of a packet", instructions),
        ("side-by-side.svg", "Times the rate of the peer", ratios),
    ];
    for (file, title, bars) in charts {
        if bars.is_empty() {
            continue;
        }
        let path = directory.join(file);
        chart(&path, title, &bars).map_err(|error| anyhow!("{}: {error}", path.display()))?;
        eprintln!("bench: drew {}", path.display());
    }
    Ok(())
}

fn chart(path: &Path, title: &str, bars: &[Bar]) -> Result<(), Box<dyn std::error::Error>> {
    let count = u32::try_from(bars.len())?;
    let root = SVGBackend::new(path, (WIDTH, 80 + count * BAR_HEIGHT)).into_drawing_area();
    root.fill(&WHITE)?;
    let ends = bars
        .iter()
        .map(|bar| bar.range.map_or(bar.value, |range| range.1));
    let longest = ends.fold(0.0, f64::max) * 1.05;
    let mut chart = ChartBuilder::on(&root)
        .caption(title, ("sans-serif", 20))
        .margin(10)
        .x_label_area_size(28)
        .y_label_area_size(NAMES_WIDTH)
        .build_cartesian_2d(0.0..longest, (0..count).into_segmented())?;
    let name = |place: &SegmentValue<u32>| match place {
        SegmentValue::CenterOf(index) => bars
            .get(bars.len().saturating_sub(1 + *index as usize))
            .map_or_else(String::new, |bar| bar.name.clone()),
        _ => String::new(),
    };
    chart
        .configure_mesh()
        .disable_y_mesh()
        .y_labels(bars.len())
        .y_label_formatter(&name)
        .label_style(("sans-serif", 13))
        .draw()?;
    // The first bar is on top.
    for (index, bar) in (0..count).rev().zip(bars) {
        let (from, to) = (SegmentValue::Exact(index), SegmentValue::Exact(index + 1));
        let mut rectangle = Rectangle::new([(0.0, from), (bar.value, to)], BLUE.mix(0.6).filled());
        rectangle.set_margin(4, 4, 0, 0);
        chart.draw_series([rectangle])?;
        if let Some((low, high)) = bar.range {
            let at = SegmentValue::CenterOf(index);
            let line = PathElement::new([(low, at.clone()), (high, at)], BLACK);
            chart.draw_series([line])?;
        }
    }
    root.present()?;
    Ok(())
}

/// A figure as a length; a picture shows no more than three of its digits.
#[expect(clippy::cast_precision_loss, reason = "a picture shows no more")]
fn approximate(figure: i64) -> f64 {
    figure as f64
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;
    use crate::bench::Cost;

    #[test]
    fn each_instrument_that_ran_has_its_picture_with_every_name() {
        let mut report = Report::default();
        let cost = |scenario: &str| Cost {
            scenario: scenario.to_owned(),
            median: 100,
            low: 90,
            high: 120,
        };
        report.add_times(vec![cost("one flow"), cost("many flows")]);
        let directory = tempfile::tempdir().unwrap();
        draw(&report, directory.path()).unwrap();
        let svg = std::fs::read_to_string(directory.path().join("time.svg")).unwrap();
        assert!(
            svg.contains("one flow") && svg.contains("many flows"),
            "{svg}"
        );
        assert!(!directory.path().join("side-by-side.svg").exists());
    }
}
