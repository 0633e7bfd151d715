//! Bar charts of contestants, as SVG.

use std::fmt::Write;

const WIDTH: usize = 720;
const LEFT: usize = 190;
const TOP: usize = 52;
const BAR: usize = 22;
const GAP: usize = 12;

/// A chart of docs/benchmarks.md.
#[derive(Clone, Copy, Debug)]
pub struct Chart {
    /// The name of its file, without `.svg`.
    pub name: &'static str,
    title: &'static str,
}

/// Of the contestants in plaintext.
pub const MEMORY: Chart = Chart {
    name: "memory",
    title: "Resident memory between kubelet and app",
};

/// The same.
pub const PLAINTEXT_CPU: Chart = Chart {
    name: "plaintext-cpu",
    title: "CPU time of a plaintext probe, as a multiple of the floor",
};

/// Of the contestants over TLS.
pub const HTTPS_CPU: Chart = Chart {
    name: "https-cpu",
    title: "CPU time of an HTTPS probe, as a multiple of a direct one",
};

/// A contestant's bar.
#[derive(Clone, Debug, PartialEq)]
pub struct Bar {
    label: String,
    value: f64,
    shown: String,
}

impl Bar {
    /// Memory in KiB.
    pub fn memory(name: &str, kib: f64) -> Bar {
        let shown = match kib >= 1024.0 {
            true => format!("{:.0} MiB", kib / 1024.0),
            false => format!("{kib:.0} KiB"),
        };
        Bar::new(name, kib, shown)
    }

    /// A ratio to the base of the chart, whose own is 1.
    pub fn times(name: &str, ratio: f64) -> Bar {
        let shown = match ratio == 1.0 {
            true => "1x".to_string(),
            false => format!("{ratio:.2}x"),
        };
        Bar::new(name, ratio, shown)
    }

    fn new(name: &str, value: f64, shown: String) -> Bar {
        let label = match name {
            "floor" => "the floor",
            "haproxy" => "HAProxy",
            "envoy" => "Envoy",
            other => other,
        };
        let label = label.replace('&', "&amp;").replace('<', "&lt;");
        Bar {
            label,
            value,
            shown,
        }
    }
}

/// Draws horizontal bars. The title of the picture has their figures as text.
pub fn draw(chart: Chart, bars: &[Bar]) -> String {
    let title = chart.title;
    let largest = bars.iter().map(|bar| bar.value).fold(0.0, f64::max);
    let height = TOP + bars.len() * (BAR + GAP) + 8;
    let figures: Vec<_> = bars
        .iter()
        .map(|bar| format!("{} {}", bar.label, bar.shown))
        .collect();
    // A background of its own, so that it is readable on light and on dark pages.
    let mut svg = format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" role="img" font-family="system-ui, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif" font-size="14">
<title>{title}: {}</title>
<rect x="0.5" y="0.5" width="{}" height="{}" rx="8" fill="#ffffff" stroke="#8c959f"/>
<text x="16" y="30" font-weight="600" fill="#1f2328">{title}</text>
"##,
        figures.join(", "),
        WIDTH - 1,
        height - 1
    );
    for (index, bar) in bars.iter().enumerate() {
        let top = TOP + index * (BAR + GAP);
        let length = (bar.value / largest * (WIDTH - LEFT - 100) as f64).round();
        let length = length.max(2.0) as usize;
        let colour = match bar.label.as_str() {
            "probelet" => "#0969da",
            _ => "#8c959f",
        };
        let (end, base, after) = (LEFT - 10, top + 16, LEFT + length + 8);
        let _ = write!(
            svg,
            r##"<text x="{end}" y="{base}" text-anchor="end" fill="#1f2328">{}</text>
<rect x="{LEFT}" y="{top}" width="{length}" height="{BAR}" fill="{colour}"/>
<text x="{after}" y="{base}" fill="#1f2328">{}</text>
"##,
            bar.label, bar.shown
        );
    }
    svg + "</svg>\n"
}
