//! Evaluates one stage of a Containerfile, instruction by instruction.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use serde_json::{Value, json};
use stagex_oci::{ImageConfig, StepRecord};
use stagex_recipe::{
    Diagnostic, Document, Span,
    catalogue::StageLinks,
    containerfile::{Command, Instruction, Word},
};
use stagex_tree::{Digest, Tree, TreePath};

use crate::{
    Error,
    again::{Part, Varied},
    copying::Origin,
    engine::{Base, Engine, Recipe, Unit},
    explain::Inputs,
    observe::{StepName, Usage},
    place,
    scope::{Arguments, Scope},
};

/// Part of every key: raised when the meaning of an instruction changes.
pub(crate) const VERSION: u32 = 2;
/// The shell of instructions in shell form.
const SHELL: [&str; 2] = ["/bin/sh", "-c"];

/// What a stage comes out as.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Built {
    /// The layers, bottom first.
    pub layers: Vec<Digest>,
    /// The configuration.
    pub config: ImageConfig,
    /// The foreign seeds that it was built with: empty for what is bootstrapped from source.
    pub seeds: BTreeSet<String>,
    /// What its steps used, now or when they were built.
    pub usage: Usage,
    /// Its commands, in order; those of the stage that it starts from are not among them.
    pub ran: Vec<Ran>,
    /// What ARG declared in it.
    pub(crate) declared: BTreeMap<String, Option<String>>,
}

/// A command that a stage ran, now or when it was built, and what it found and left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    /// Which instruction of its stage it is, from 1.
    pub number: usize,
    /// The program and its arguments.
    pub argv: Vec<String>,
    /// The layers that were its root, bottom first. Beside them there were `/dev` and `/proc`.
    pub root: Vec<Digest>,
    /// The layers after it.
    pub left: Vec<Digest>,
    /// What else it could see: the number of its mounts.
    pub mounts: usize,
    /// Whether it had the network.
    pub network: bool,
    /// What it used.
    pub usage: Usage,
}

/// An instruction and where it stands.
pub(crate) struct Step<'a> {
    pub(crate) name: StepName,
    pub(crate) span: Span,
    pub(crate) instruction: &'a Instruction,
}

/// A stage half way.
pub(crate) struct Evaluation<'a> {
    pub(crate) engine: &'a Engine<'a>,
    pub(crate) recipe: &'a Recipe<'a>,
    /// Which stage it is.
    unit: &'a Unit,
    /// What the stage is made from.
    pub(crate) links: &'a StageLinks,
    pub(crate) scope: Scope<'a>,
    pub(crate) state: Built,
    /// The tree that the layers give together, once it was needed.
    merged: Option<Arc<Tree>>,
    /// Whether nothing may be built, only looked up.
    pub(crate) planning: bool,
    /// Whether what commands gave is compared with what they give now.
    pub(crate) again: bool,
    /// Whether only inputs are looked at.
    pub(crate) gathering: bool,
    pub(crate) varied: Vec<Varied>,
    /// What it takes of which stages; only where commands are run once more.
    taken: Vec<(Unit, Part)>,
    pub(crate) inputs: Inputs,
    /// Whether something was missing while planning.
    missing: bool,
}

/// What a stage is evaluated for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To have its result.
    Build,
    /// To know whether its result is in the store.
    Plan,
    /// To run its commands once more.
    Again,
    /// To know what goes into it; the layers that come out mean nothing.
    Gather,
}

/// What evaluating a stage gave.
pub(crate) struct Evaluated {
    pub(crate) built: Built,
    /// The commands that gave something else than before.
    pub(crate) varied: Vec<Varied>,
    /// What it takes of which stages, where its commands were run once more.
    pub(crate) taken: Vec<(Unit, Part)>,
    /// What goes into it.
    pub(crate) inputs: Inputs,
}

/// Evaluates a stage whose inputs are all done; `None` if, while planning, something is missing.
pub(crate) fn evaluate(
    engine: &Engine<'_>,
    recipe: &Recipe<'_>,
    unit: &Unit,
    purpose: Purpose,
) -> Result<Option<Evaluated>, Error> {
    let index = unit.stage;
    let document = &recipe.containerfile.document;
    let Some(stage) = recipe.containerfile.stages.get(index) else { return Ok(None) };
    let links = engine.links(recipe, &unit.platform)?;
    let Some(link) = links.stages.get(index) else { return Ok(None) };
    let mut taken = Vec::new();
    let mut state = match engine.base(unit, &link.platform, &link.base.reference)? {
        Base::Scratch => {
            let config = ImageConfig {
                architecture: link.platform.architecture().to_owned(),
                os: link.platform.os().to_owned(),
                ..ImageConfig::default()
            };
            Built { config, ..Built::default() }
        }
        Base::Unit(base) => match engine.known(&base) {
            Some(built) => {
                taken.push((base.clone(), Part::Whole));
                let mut state =
                    Built { usage: Usage::default(), ran: Vec::new(), ..(*built).clone() };
                if base.package != recipe.id {
                    state.declared.clear();
                }
                state
            }
            None => return Ok(None),
        },
        Base::Context => {
            let text = "a stage cannot start from a build context";
            return Err(document.error(link.base.span, text).into());
        }
        Base::Foreign(image) => return Err(foreign(document, link.base.span, &image).into()),
    };
    state.seeds.extend(seed_of(&state.config));
    let environment = environment_of(&state.config);
    let mut evaluation = Evaluation {
        engine,
        recipe,
        unit,
        scope: Scope::stage(
            &recipe.arguments,
            &links.globals,
            environment,
            std::mem::take(&mut state.declared),
        ),
        links: link,
        state,
        merged: None,
        planning: purpose == Purpose::Plan,
        again: purpose == Purpose::Again,
        gathering: purpose == Purpose::Gather,
        varied: Vec::new(),
        taken,
        inputs: Inputs::default(),
        missing: false,
    };
    let stage_name = match &stage.name {
        Some(name) => name.value.clone(),
        None => index.to_string(),
    };
    for (at, instruction) in stage.instructions.iter().enumerate() {
        if engine.cancel.is_cancelled() {
            return Err(Error::Cancelled);
        }
        let step = Step {
            name: StepName {
                package: recipe.id.to_owned(),
                stage: stage_name.clone(),
                number: at + 1,
                of: stage.instructions.len(),
                text: first_line(document, instruction.span).to_owned(),
            },
            span: instruction.span,
            instruction: &instruction.value,
        };
        let result = evaluation.obey(&step);
        if let Err(error) = result {
            match error {
                Error::Cancelled => engine.observer.step_stopped(&step.name),
                _ => engine.observer.step_failed(&step.name),
            }
            return Err(error);
        }
        if evaluation.missing {
            return Ok(None);
        }
    }
    let Evaluation { state: mut built, scope, varied, taken, mut inputs, .. } = evaluation;
    built.declared.clone_from(scope.declared());
    built.seeds.extend(seed_of(&built.config));
    if purpose == Purpose::Gather {
        let given = |name: &String| recipe.arguments.contains_key(name);
        let declared = built.declared.iter().filter(|(name, _)| given(name));
        inputs
            .arguments
            .extend(declared.filter_map(|(name, value)| Some((name.clone(), value.clone()?))));
        inputs.read_recipe(document, &stage_name, stage);
    }
    Ok(Some(Evaluated { built, varied, taken, inputs }))
}

/// An instruction as records and people know it.
pub(crate) fn first_line(document: &Document, span: Span) -> &str {
    document.slice(span).lines().next().unwrap_or_default()
}

fn foreign(document: &Document, span: Span, image: &str) -> Diagnostic {
    document
        .error(span, format!("the image {image} is not built by this project"))
        .with_help("everything is built from source: make it a package, and name it stagex/<id>")
}

/// The label by which a seed says that it is one.
const SEED_LABEL: &str = "org.stagex.seed";

fn seed_of(config: &ImageConfig) -> Option<String> {
    config.labels.get(SEED_LABEL).cloned()
}

fn environment_of(config: &ImageConfig) -> Arguments {
    config
        .env
        .iter()
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

impl<'a> Evaluation<'a> {
    fn obey(&mut self, step: &Step<'_>) -> Result<(), Error> {
        match step.instruction {
            Instruction::Arg(arguments) => {
                for argument in arguments {
                    self.scope.declare(argument)?;
                }
            }
            Instruction::Env(assignments) => {
                let mut values = Vec::new();
                for assignment in assignments {
                    values.push((self.expand(&assignment.key)?, self.expand(&assignment.value)?));
                }
                for (name, value) in &values {
                    set_environment(&mut self.state.config.env, name, value);
                }
                self.scope.set(values);
            }
            Instruction::Label(assignments) => {
                let mut values = BTreeMap::new();
                for assignment in assignments {
                    values.insert(self.expand(&assignment.key)?, self.expand(&assignment.value)?);
                }
                self.state.config.labels.extend(values);
            }
            Instruction::Workdir(word) => self.workdir(step, word)?,
            Instruction::User(word) => self.state.config.user = self.expand(word)?,
            Instruction::Shell(shell) => self.state.config.shell.clone_from(shell),
            Instruction::Run(run) => self.run(step, run)?,
            Instruction::Copy(copy) => self.copy(step, copy)?,
            Instruction::Add(add) => self.add(step, add)?,
            Instruction::Entrypoint(command) => {
                self.state.config.entrypoint = self.command(command);
                // As everywhere: an entry point given anew forgets the base's arguments.
                self.state.config.cmd.clear();
            }
            Instruction::Cmd(command) => self.state.config.cmd = self.command(command),
            Instruction::Expose(words) => {
                for word in words {
                    for port in word.expand_words(&|name: &str| self.scope.get(name))? {
                        let port = if port.contains('/') { port } else { format!("{port}/tcp") };
                        self.state.config.exposed_ports.insert(port);
                    }
                }
            }
            Instruction::Volume(words) => {
                for word in words {
                    let volume = self.expand(word)?;
                    self.state.config.volumes.insert(volume);
                }
            }
            Instruction::Stopsignal(word) => self.state.config.stop_signal = self.expand(word)?,
            // Docker's own, unknown to OCI's image specification.
            Instruction::Healthcheck(_) => {}
            Instruction::Maintainer(name) => {
                let key = "org.opencontainers.image.authors".to_owned();
                self.state.config.labels.insert(key, name.clone());
            }
            Instruction::Onbuild(_) => {
                return Err(self
                    .error(step.span, "ONBUILD has no meaning in OCI images, and stagex has none")
                    .into());
            }
        }
        Ok(())
    }

    fn command(&self, command: &Command) -> Vec<String> {
        match command {
            Command::Exec(arguments) => arguments.clone(),
            Command::Shell(text) => self.shell().into_iter().chain([text.clone()]).collect(),
        }
    }

    /// The shell of instructions in shell form.
    pub(crate) fn shell(&self) -> Vec<String> {
        match &self.state.config.shell[..] {
            [] => SHELL.map(str::to_owned).to_vec(),
            shell => shell.to_vec(),
        }
    }

    /// Expands a word with the variables known here.
    pub(crate) fn expand(&self, word: &Word) -> Result<String, Diagnostic> {
        word.expand(&|name: &str| self.scope.get(name))
    }

    /// An error about this recipe.
    pub(crate) fn error(&self, span: Span, message: impl Into<String>) -> Diagnostic {
        self.recipe.containerfile.document.error(span, message.into())
    }

    /// A path as instructions write it: relative ones begin at the working directory.
    pub(crate) fn path(&self, text: &str) -> Result<TreePath, stagex_tree::PathError> {
        let mut names: Vec<&str> = Vec::new();
        let start = if text.starts_with('/') { "" } else { &self.state.config.workdir };
        for name in start.split('/').chain(text.split('/')) {
            match name {
                "" | "." => {}
                ".." => drop(names.pop()),
                name => names.push(name),
            }
        }
        TreePath::new(names.join("/"))
    }

    fn workdir(&mut self, step: &Step<'_>, word: &Word) -> Result<(), Error> {
        let text = self.expand(word)?;
        let path = self.path(&text).map_err(|error| word.error(error.to_string()))?;
        self.state.config.workdir = path.to_string();
        if path.is_root() || self.gathering {
            return Ok(());
        }
        let key = self.key(json!({ "workdir": path.to_string() }));
        if self.recall(&key)? {
            return Ok(());
        }
        if self.planning {
            self.missed();
            return Ok(());
        }
        if !place::is_directory(self.merged()?, &path) {
            let mut placer = place::Placer::new(self.merged()?.clone(), Default::default());
            placer.make_directory(&path).map_err(|error| word.error(error.to_string()))?;
            let mut layer = placer.finish();
            layer.carry_parents(self.merged()?);
            let layer = self.engine.store.add(&layer)?;
            self.push_layer(layer.digest)?;
        }
        self.remember(&key, step, Usage::default())
    }

    /// What the reference at `span` stands for.
    fn used(&self, span: Span) -> Result<Base, Error> {
        match self.links.uses.iter().find(|link| link.span == span) {
            Some(link) => self.engine.base(self.unit, &self.links.platform, &link.reference),
            None => Err(self.error(span, "this reference is not known").into()),
        }
    }

    /// Notes what is taken of the stage that the reference at `span` stands for.
    pub(crate) fn takes(&mut self, span: Span, part: impl Fn() -> Part) -> Result<(), Error> {
        if self.again {
            if let Base::Unit(unit) = self.used(span)? {
                self.taken.push((unit, part()));
            }
        }
        Ok(())
    }

    /// Where `--from` and mounts take files from; `None` if, while planning, it is not built yet.
    pub(crate) fn origin(&mut self, span: Span) -> Result<Option<Origin>, Error> {
        match self.used(span)? {
            Base::Foreign(image) => {
                Err(foreign(&self.recipe.containerfile.document, span, &image).into())
            }
            Base::Context => Ok(Some(Origin::Context)),
            Base::Scratch => Ok(Some(Origin::Image(Arc::new(Built::default())))),
            Base::Unit(unit) => match self.engine.known(&unit) {
                Some(built) => {
                    self.state.seeds.extend(built.seeds.iter().cloned());
                    Ok(Some(Origin::Image(built)))
                }
                None => {
                    self.missed();
                    Ok(None)
                }
            },
        }
    }

    /// Notes that something is not in the store.
    pub(crate) fn missed(&mut self) {
        self.missing = true;
    }

    /// Whether something was noted as not in the store.
    pub(crate) fn is_missing(&self) -> bool {
        self.missing
    }

    /// The tree that the layers give together.
    pub(crate) fn merged(&mut self) -> Result<&Tree, Error> {
        if self.merged.is_none() {
            self.merged = Some(Arc::new(self.engine.store.merged(&self.state.layers)?));
        }
        match &self.merged {
            Some(tree) => Ok(tree),
            None => unreachable!("set just above"),
        }
    }

    /// Puts a layer on top, unless it says nothing.
    pub(crate) fn push_layer(&mut self, digest: Digest) -> Result<(), Error> {
        if self.engine.store.layer(&digest)?.is_empty() {
            return Ok(());
        }
        if let Some(merged) = self.merged.take() {
            let mut merged = Arc::unwrap_or_clone(merged);
            self.engine
                .store
                .load(&digest)?
                .apply_to(&mut merged)
                .map_err(stagex_oci::StoreError::from)?;
            self.merged = Some(Arc::new(merged));
        }
        self.state.layers.push(digest);
        Ok(())
    }

    /// The key of a step on top of what is there.
    pub(crate) fn key(&self, step: Value) -> Digest {
        let value = json!({
            "version": VERSION,
            "epoch": self.engine.store.normalise().epoch,
            "layers": self.state.layers.iter().map(Digest::hex).collect::<Vec<_>>(),
            "step": step,
        });
        Digest::of(value.to_string())
    }

    /// Takes the result of a step from the store, if it is there.
    pub(crate) fn recall(&mut self, key: &Digest) -> Result<bool, Error> {
        let Some(record) = self.engine.store.step(key)? else { return Ok(false) };
        let field = |name: &str| record.fields.get(name).and_then(|text| text.parse().ok());
        if record.layers != self.state.layers {
            self.merged = None;
        }
        self.state.layers = record.layers.clone();
        self.state.usage.cpu += Duration::from_millis(field("cpu_ms").unwrap_or(0));
        self.state.usage.wall += Duration::from_millis(field("wall_ms").unwrap_or(0));
        self.engine.used(key);
        Ok(true)
    }

    /// Remembers what is there as the result of a step.
    pub(crate) fn remember(
        &mut self,
        key: &Digest,
        step: &Step<'_>,
        usage: Usage,
    ) -> Result<(), Error> {
        let mut fields = BTreeMap::new();
        fields.insert("package".to_owned(), self.recipe.id.to_owned());
        fields.insert("step".to_owned(), step.name.text.clone());
        if usage != Usage::default() {
            fields.insert("cpu_ms".to_owned(), usage.cpu.as_millis().to_string());
            fields.insert("wall_ms".to_owned(), usage.wall.as_millis().to_string());
            fields.insert("max_rss".to_owned(), usage.max_rss.to_string());
        }
        let record =
            StepRecord { layers: self.state.layers.clone(), fields, ..StepRecord::default() };
        self.engine.store.put_step(key, &record)?;
        self.engine.used(key);
        // As the record has it: a step costs the same whether it was run now or found.
        let whole = |time: Duration| {
            Duration::from_millis(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
        };
        self.state.usage.cpu += whole(usage.cpu);
        self.state.usage.wall += whole(usage.wall);
        self.state.usage.max_rss = self.state.usage.max_rss.max(usage.max_rss);
        Ok(())
    }
}

/// Sets a variable in the list of an image's configuration, keeping its place.
fn set_environment(environment: &mut Vec<String>, name: &str, value: &str) {
    let line = format!("{name}={value}");
    let known = environment
        .iter_mut()
        .find(|line| line.split_once('=').is_some_and(|(known, _)| known == name));
    match known {
        Some(known) => *known = line,
        None => environment.push(line),
    }
}
