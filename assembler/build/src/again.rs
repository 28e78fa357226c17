//! Runs commands a second time under other conditions, and compares.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Mutex,
};

use stagex_recipe::containerfile::Instruction;
use stagex_tree::Digest;

use crate::{
    Engine, Error, Unit, copying,
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

/// What one stage takes of another.
#[derive(Debug, Clone)]
pub(crate) enum Part {
    /// All of it: it starts from it, or mounts something of it.
    Whole,
    /// What a COPY selects.
    Copied(copying::Request),
}

/// What is taken of stages, by all that take of them.
type Taken = BTreeMap<Unit, Vec<Part>>;

/// Whose commands are run a second time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// Those of the packages that are named.
    Named,
    /// Those of all that the named packages are made from, too; not what stands for a toolchain's
    /// packages, nor what is below that.
    AboveToolchain,
}

impl Engine<'_> {
    /// Builds what is missing of the images `targets`; then runs every command of their packages,
    /// as far as `extent` says, once more, and gives those that came out otherwise, in order.
    ///
    /// Compared is what somebody sees of what a command leaves: all of it in an image and where
    /// another command follows in its stage, else what other stages take of that stage. A log of
    /// configure's, which stays behind, may be another one.
    ///
    /// What a command finds is the same both times. Other are the time, the path at which its
    /// changes are kept, its log, and what runs beside it; it has one core and one job. A command
    /// of whose package others are made is run for itself: each is tried on what its like gave
    /// when it was built.
    pub fn again(
        &self,
        root: &str,
        targets: &[String],
        extent: Extent,
    ) -> Result<Vec<Varied>, Vec<Error>> {
        let one = |error| vec![error];
        self.build(root, targets)?;
        let wanted = self.units_of(targets)?;
        let named: BTreeSet<&str> = wanted.values().map(|unit| &unit.package[..]).collect();
        let (mut units, _) = self.order(wanted.values()).map_err(one)?;
        match extent {
            Extent::Named => units.retain(|unit| named.contains(&unit.package[..])),
            Extent::AboveToolchain => {
                let below = self.toolchain(&units).map_err(one)?;
                units.retain(|unit| {
                    named.contains(&unit.package[..]) || !below.contains(&unit.package[..])
                });
            }
        }
        let packages: BTreeSet<&str> = units.iter().map(|unit| &unit.package[..]).collect();
        let found = Mutex::new(vec![Vec::new(); units.len()]);
        let taken = Mutex::new(Taken::new());
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
                let Some(evaluated) = evaluated else { return Ok(()) };
                for (unit, part) in evaluated.taken {
                    lock(&taken).entry(unit).or_default().push(part);
                }
                if let Some(place) = lock(&found).get_mut(at) {
                    *place = evaluated.varied;
                }
                Ok(())
            },
        );
        if !outcome.failures.is_empty() {
            return Err(outcome.failures.into_iter().map(|(_, error)| error).collect());
        }
        let taken = lock(&taken);
        let mut seen = Vec::new();
        for (unit, varied) in units.iter().zip(lock(&found).drain(..)) {
            for varied in varied {
                if self.is_seen(unit, &varied, taken.get(unit)).map_err(one)? {
                    seen.push(varied);
                }
            }
        }
        Ok(seen)
    }

    /// Whether anything reads that in which a command of `unit` varied.
    fn is_seen(
        &self,
        unit: &Unit,
        varied: &Varied,
        taken: Option<&Vec<Part>>,
    ) -> Result<bool, Error> {
        let stage = self.recipe(unit)?.containerfile.stages.get(unit.stage);
        let later = stage.and_then(|stage| stage.instructions.get(varied.step.number..));
        let is_run = |instruction: &Instruction| matches!(instruction, Instruction::Run(_));
        let runs_later = later.into_iter().flatten().any(|later| is_run(&later.value));
        if runs_later || self.is_image(unit) {
            return Ok(true);
        }
        let Some(built) = self.result(unit) else { return Ok(true) };
        let after = varied.root.len() + usize::from(varied.first.is_some());
        let rest = built.layers.get(after..).unwrap_or_default();
        let second: Vec<Digest> =
            varied.root.iter().chain(&varied.second).chain(rest).copied().collect();
        let (first, second) = (self.store.merged(&built.layers)?, self.store.merged(&second)?);
        for part in taken.into_iter().flatten() {
            let same = match part {
                Part::Whole => false,
                Part::Copied(request) => request.takes_the_same(&first, &second)?,
            };
            if !same {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether others can ask for a unit by a name of its package.
    fn is_image(&self, unit: &Unit) -> bool {
        let entry = self.catalogue.packages().get(&unit.package);
        entry.is_some_and(|entry| entry.targets.values().any(|stage| *stage == unit.stage))
    }

    /// The packages that the toolchain in use consists of, as far as `units` are made with it.
    fn toolchain(&self, units: &[Unit]) -> Result<BTreeSet<String>, Error> {
        let stand_ins: BTreeSet<(&str, usize)> = self
            .catalogue
            .stand_ins()
            .filter_map(|id| self.catalogue.target(id))
            .map(|(entry, stage)| (&entry.id[..], stage))
            .collect();
        let tops = units.iter().filter(|unit| stand_ins.contains(&(&unit.package[..], unit.stage)));
        let (order, _) = self.order(tops)?;
        Ok(order.into_iter().map(|unit| unit.package).collect())
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
