//! Runs commands a second time under other conditions, and compares.

use std::{collections::BTreeSet, sync::Mutex};

use stagex_tree::Digest;

use crate::{
    Engine, Error,
    engine::lock,
    observe::StepName,
    schedule,
    stage::{self, Evaluation, Purpose, Step},
};

/// A command that did not give the same twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Varied {
    /// Which step.
    pub step: StepName,
    /// Where it is written: file, line and column.
    pub place: String,
    /// What was there before it: the layers of its root, bottom first.
    pub root: Vec<Digest>,
    /// The layer that it gave when it was built; `None` if it changed nothing.
    pub first: Option<Digest>,
    /// The layer that it gave now.
    pub second: Option<Digest>,
}

impl Engine<'_> {
    /// Builds what is missing of the images `targets`; then runs every command of their packages
    /// once more, and gives those that came out otherwise, in order.
    ///
    /// What a command finds is the same both times. Other are the time, the path at which its
    /// changes are kept, its log, and what runs beside it; it has one core and one job. A command
    /// of whose package others are made is run for itself: each is tried on what its like gave
    /// when it was built.
    pub fn again(&self, root: &str, targets: &[String]) -> Result<Vec<Varied>, Vec<Error>> {
        let one = |error| vec![error];
        self.build(root, targets)?;
        let wanted = self.units_of(targets)?;
        let packages: BTreeSet<&str> = wanted.values().map(|unit| &unit.package[..]).collect();
        let (order, _) = self.order(wanted.values()).map_err(one)?;
        let units: Vec<_> =
            order.into_iter().filter(|unit| packages.contains(&unit.package[..])).collect();
        let found = Mutex::new(vec![Vec::new(); units.len()]);
        // No unit waits for another: all that they need is built.
        let dependencies = vec![BTreeSet::new(); units.len()];
        let refs: Vec<_> = units.iter().collect();
        let past = self.past(&packages).map_err(one)?;
        let costs = self.costs(&refs, &past).map_err(one)?;
        *lock(&self.past) = past;
        let outcome = schedule::run(
            &dependencies,
            &costs,
            self.options.jobs,
            |_| false,
            |at| {
                let Some(unit) = units.get(at) else { return Ok(()) };
                use_one_core(at);
                let evaluated = stage::evaluate(self, self.recipe(unit)?, unit, Purpose::Again)?;
                if let Some(place) = lock(&found).get_mut(at) {
                    *place = evaluated.map(|evaluated| evaluated.varied).unwrap_or_default();
                }
                Ok(())
            },
        );
        if !outcome.failures.is_empty() {
            return Err(outcome.failures.into_iter().map(|(_, error)| error).collect());
        }
        Ok(lock(&found).drain(..).flatten().collect())
    }
}

/// Keeps this thread, and what it starts, on one of the cores that it may use. That is a matter of
/// variety: where it does not work, there is less of it.
fn use_one_core(at: usize) {
    use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
    let Ok(allowed) = sched_getaffinity(None) else { return };
    let cores: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|core| allowed.is_set(*core)).collect();
    if cores.len() > 1 {
        let mut set = CpuSet::new();
        set.set(cores[at % cores.len()]);
        let _ = sched_setaffinity(None, &set);
    }
}

impl Evaluation<'_> {
    /// Compares what a command gave with what the store has of it, and goes on with the latter.
    pub(crate) fn compare(
        &mut self,
        step: &Step<'_>,
        key: &Digest,
        layer: Digest,
    ) -> Result<(), Error> {
        let root = self.state.layers.clone();
        if !self.recall(key)? {
            // Removed meanwhile: then there is nothing to compare with.
            return self.push_layer(layer);
        }
        let first = self.state.layers.get(root.len()).copied();
        let second = (!self.engine.store.layer(&layer)?.is_empty()).then_some(layer);
        if first != second {
            let document = &self.recipe.containerfile.document;
            let position = document.position(step.span.start);
            self.varied.push(Varied {
                step: step.name.clone(),
                place: format!("{}:{}:{}", document.name(), position.line, position.column),
                root,
                first,
                second,
            });
        }
        Ok(())
    }
}
