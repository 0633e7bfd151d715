//! Figures with their bounds and verdicts, as text and as JSON.

use crate::Outcome;
use crate::shared::chart::{self, Bar, Chart};
use crate::shared::json::Json;
use crate::shared::stats::{Bound, Spread};
use crate::shared::table;

/// One figure.
#[derive(Debug)]
pub struct Row {
    name: String,
    unit: &'static str,
    value: Outcome<Spread>,
    bound: Option<Bound>,
    goal: Option<f64>,
}

impl Row {
    /// A figure without a bound. `unit` follows the number.
    pub fn new(name: impl Into<String>, unit: &'static str, value: Outcome<Spread>) -> Row {
        Row {
            name: name.into(),
            unit,
            value,
            bound: None,
            goal: None,
        }
    }

    /// A figure with a single reading.
    pub fn exact(name: impl Into<String>, unit: &'static str, value: Outcome<f64>) -> Row {
        Row::new(name, unit, value.map(Spread::exact))
    }

    /// Sets an upper bound.
    pub fn at_most(mut self, bound: f64) -> Row {
        self.bound = Some(Bound::AtMost(bound));
        self
    }

    /// Sets a lower bound.
    pub fn at_least(mut self, bound: f64) -> Row {
        self.bound = Some(Bound::AtLeast(bound));
        self
    }

    /// Sets a goal below the upper bound.
    pub fn goal(mut self, goal: f64) -> Row {
        self.goal = Some(goal);
        self
    }

    fn verdict(&self) -> String {
        let (Ok(value), Some(bound)) = (&self.value, self.bound) else {
            return match &self.value {
                Err(reason) => format!("not measured: {reason}"),
                Ok(_) => String::new(),
            };
        };
        let verdict = bound.verdict(*value).text().to_string();
        match self.goal {
            Some(goal) if value.median > goal => format!("{verdict}, goal missed"),
            Some(_) => format!("{verdict}, goal met"),
            None => verdict,
        }
    }

    fn bound_text(&self) -> String {
        let bound = match self.bound {
            None => return String::new(),
            Some(Bound::AtMost(bound)) => format!("<= {}", short(bound)),
            Some(Bound::AtLeast(bound)) => format!(">= {}", short(bound)),
        };
        match self.goal {
            Some(goal) => format!("{bound} (goal {})", short(goal)),
            None => bound,
        }
    }

    fn cells(&self) -> Vec<String> {
        let (measured, quartiles) = match &self.value {
            Ok(value) if value.samples == 1 => (short(value.median), String::new()),
            Ok(value) => (short(value.median), quartiles(*value)),
            Err(_) => ("-".into(), String::new()),
        };
        let unit = self.unit.to_string();
        let bound = self.bound_text();
        vec![
            self.name.clone(),
            measured,
            unit,
            quartiles,
            bound,
            self.verdict(),
        ]
    }

    fn json(&self) -> Json {
        let bound = match self.bound {
            None => Json::Null,
            Some(Bound::AtMost(bound)) => Json::object([("at_most", Json::Number(bound))]),
            Some(Bound::AtLeast(bound)) => Json::object([("at_least", Json::Number(bound))]),
        };
        Json::object([
            ("name", Json::text(&self.name)),
            ("unit", Json::text(self.unit)),
            ("value", spread_json(self.value.as_ref().ok())),
            ("bound", bound),
            ("goal", self.goal.map_or(Json::Null, Json::Number)),
            ("verdict", Json::text(self.verdict())),
        ])
    }
}

/// A number with two or three significant digits.
pub fn short(number: f64) -> String {
    match number.abs() {
        size if size >= 100.0 || number.fract() == 0.0 => format!("{number:.0}"),
        size if size >= 10.0 => format!("{number:.1}"),
        _ => format!("{number:.2}"),
    }
}

/// The quartiles, such as `0.98..1.04`.
pub fn quartiles(spread: Spread) -> String {
    format!("{}..{}", short(spread.q1), short(spread.q3))
}

/// A spread as JSON, or `null`.
pub fn spread_json(spread: Option<&Spread>) -> Json {
    spread.map_or(Json::Null, |spread| {
        Json::object([
            ("median", Json::Number(spread.median)),
            ("q1", Json::Number(spread.q1)),
            ("q3", Json::Number(spread.q3)),
            ("samples", Json::Number(spread.samples as f64)),
        ])
    })
}

/// The figures and texts of a run.
#[derive(Debug, Default)]
pub struct Report {
    rows: Vec<Row>,
    text: Vec<String>,
    members: Vec<(String, Json)>,
    charts: Vec<(&'static str, String)>,
}

impl Report {
    /// Adds a figure.
    pub fn row(&mut self, row: Row) {
        self.rows.push(row);
    }

    /// Adds text that is printed before the figures.
    pub fn say(&mut self, text: impl Into<String>) {
        self.text.push(text.into());
    }

    /// Adds a member to the JSON.
    pub fn member(&mut self, name: impl Into<String>, value: Json) {
        self.members.push((name.into(), value));
    }

    /// Adds a chart, unless it has no bars.
    pub fn chart(&mut self, chart: Chart, bars: &[Bar]) {
        if !bars.is_empty() {
            self.charts.push((chart.name, chart::draw(chart, bars)));
        }
    }

    /// Names and SVG of the charts.
    pub fn charts(&self) -> &[(&'static str, String)] {
        &self.charts
    }

    /// The report as text.
    pub fn text(&self) -> String {
        let rows: Vec<_> = self.rows.iter().map(Row::cells).collect();
        let header = ["figure", "median", "unit", "quartiles", "bound", "verdict"];
        format!(
            "{}\n\n{}",
            self.text.join("\n"),
            table::render(&header, &[0, 2, 5], &rows)
        )
    }

    /// The report as JSON.
    pub fn json(&self) -> Json {
        let mut members = self.members.clone();
        let figures = self.rows.iter().map(Row::json).collect();
        members.push(("figures".into(), Json::List(figures)));
        Json::Object(members)
    }
}
