//! The figures in the order they were measured.

use serde_json::{Map, Value, json};
use std::borrow::Cow;
use std::fmt;

/// One figure: a name, a value, a unit, and the bar it is held against, if there is one.
#[derive(Debug)]
struct Figure {
    name: String,
    value: f64,
    unit: Cow<'static, str>,
    note: String,
}

/// All of them.
#[derive(Debug, Default)]
pub struct Figures(Vec<Figure>);

impl Figures {
    pub fn add(&mut self, name: &str, value: f64, unit: &'static str, note: impl Into<String>) {
        self.0.push(Figure {
            name: name.to_owned(),
            value,
            unit: unit.into(),
            note: note.into(),
        });
        eprintln!("{}", self.0.last().map(ToString::to_string).unwrap_or_default());
    }

    /// Takes in the figures that another process printed for machines.
    pub fn take_in(&mut self, json: &str) -> Result<(), String> {
        let parsed: Map<String, Value> = serde_json::from_str(json).map_err(|error| error.to_string())?;
        for (name, figure) in parsed {
            if self.get(&name).is_some() {
                continue;
            }
            let text = |key: &str| figure[key].as_str().unwrap_or_default().to_owned();
            self.0.push(Figure {
                name,
                value: figure["value"].as_f64().unwrap_or(f64::NAN),
                unit: text("unit").into(),
                note: text("note"),
            });
        }
        Ok(())
    }

    /// The value of an earlier figure.
    pub fn get(&self, name: &str) -> Option<f64> {
        self.0
            .iter()
            .find(|figure| figure.name == name)
            .map(|figure| figure.value)
    }

    /// `value` as a share of an earlier figure, as a note.
    pub fn share(&self, value: f64, limit: &str) -> String {
        self.get(limit).map_or_else(String::new, |limit_value| {
            format!("{:.1} % of {limit}", value / limit_value * 100.0)
        })
    }

    pub fn json(&self) -> Value {
        let figures = self.0.iter().map(|figure| {
            (
                figure.name.clone(),
                json!({"value": figure.value, "unit": figure.unit, "note": figure.note}),
            )
        });
        Value::Object(figures.collect::<Map<_, _>>())
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = if self.value >= 100.0 { 0 } else { 2 };
        write!(
            f,
            "{:<28} {:>10.digits$} {:<10} {}",
            self.name, self.value, self.unit, self.note
        )
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f)?;
        self.0.iter().try_for_each(|figure| writeln!(f, "{figure}"))
    }
}
