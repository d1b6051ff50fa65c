//! Negative controls: a part of the bus is switched off and the fault must be reported; with the
//! part switched on again the same run must be clean. A harness that cannot fail proves nothing.

use serde_json::{Value, json};

use super::RunResult;
use crate::args::{CompareArgs, Form, Load, Without};

/// A switch, a run with it and one without.
#[derive(Clone, Debug)]
pub(super) struct Control {
    pub(super) without: Without,
    /// The part is switched off.
    pub(super) off: RunResult,
    /// The same run with everything on.
    pub(super) on: RunResult,
}

/// All switches.
pub(super) const ALL: [Without; 3] = [Without::Acks, Without::Lanes, Without::Dedupe];

/// So often a switch is tried, until it shows its fault.
pub(super) const TRIES: u32 = 3;

/// Whether a run shows the fault of its switch.
pub(super) fn shows(without: Without, off: &RunResult) -> bool {
    off.faults().contains(&expected(without))
}

/// The fault that must be seen when this is switched off.
pub(super) fn expected(without: Without) -> &'static str {
    match without {
        Without::Acks | Without::Dedupe => "duplicates",
        Without::Lanes => "inversions",
    }
}

/// The arguments of a control: those of the comparison, without its own faults, at the smallest
/// load, and with what the switch needs to show.
pub(super) fn arguments(of: &CompareArgs, without: Without) -> Result<CompareArgs, String> {
    let mut args = CompareArgs {
        load: vec![Load::low()],
        preset: None,
        fail_rate: "0".parse()?,
        poison_rate: "0".parse()?,
        republish_rate: "0".parse()?,
        restart_at: None,
        handler_time: None,
        // Raw messages have no identity by which a copy could be known.
        form: Form::Envelope,
        ..of.clone()
    };
    match without {
        Without::Acks => args.restart_at = Some("0.5".parse()?),
        Without::Lanes => args.handler_time = Some("5ms".parse()?),
        Without::Dedupe => args.republish_rate = "0.05".parse()?,
    }
    Ok(args)
}

impl Control {
    /// What is wrong with it, if anything is.
    pub(super) fn fault(&self) -> Option<String> {
        let (without, expected) = (self.without.name(), expected(self.without));
        let broker = self.off.broker;
        if self.off.interrupted || self.on.interrupted {
            return None;
        }
        if !shows(self.without, &self.off) {
            return Some(format!(
                "unresolved on {broker}: --without {without} showed no {expected} in {TRIES} runs: this machine \
                 and load prove nothing about them"
            ));
        }
        let fault = self.on.faults().first().copied()?;
        Some(format!(
            "{fault} on {broker}, in the control of --without {without}, with everything switched \
             on: {}",
            self.on.say(fault)
        ))
    }

    /// One line for people.
    pub(super) fn say(&self) -> String {
        let (without, expected) = (self.without.name(), expected(self.without));
        let held = match self.fault() {
            Some(fault) => format!("NOT AS IT MUST BE: {fault}"),
            None if self.off.interrupted || self.on.interrupted => "interrupted".into(),
            None => format!("{}; with it: none", self.off.say(expected)),
        };
        format!("control on {}, without {without}: {held}", self.off.broker)
    }

    pub(super) fn json(&self) -> Value {
        json!({
            "without": self.without.name(),
            "broker": self.off.broker,
            "expected": expected(self.without),
            "as_it_must_be": self.fault().is_none(),
            "switched_off": self.off.json(),
            "switched_on": self.on.json(),
        })
    }
}
