//! Variables of a stage: ARG and ENV, in the order Containerfiles give them meaning.

use std::collections::BTreeMap;

use stagex_recipe::{Diagnostic, containerfile::Argument};

/// Values that are given to a package's build from outside its Containerfile.
pub(crate) type Arguments = BTreeMap<String, String>;

/// The variables at one point of a Containerfile.
///
/// ENV wins over ARG. An ARG takes the value given from outside, else its default, else the value
/// that an ARG of its name before the first FROM had.
#[derive(Debug, Clone)]
pub(crate) struct Scope<'a> {
    given: &'a Arguments,
    /// The variables before the first FROM.
    global: &'a Arguments,
    declared: BTreeMap<String, Option<String>>,
    environment: BTreeMap<String, String>,
}

impl<'a> Scope<'a> {
    /// The scope at the start of a stage, with the environment of its base, and what ARG declared
    /// there if that is a stage of the same Containerfile.
    pub(crate) fn stage(
        given: &'a Arguments,
        global: &'a Arguments,
        environment: BTreeMap<String, String>,
        inherited: BTreeMap<String, Option<String>>,
    ) -> Self {
        Self { given, global, declared: inherited, environment }
    }

    /// What ARG declared so far: a stage that starts from this one knows it too.
    pub(crate) fn declared(&self) -> &BTreeMap<String, Option<String>> {
        &self.declared
    }

    /// The value of a variable.
    pub(crate) fn get(&self, name: &str) -> Option<String> {
        self.environment.get(name).cloned().or_else(|| self.declared.get(name).cloned().flatten())
    }

    /// Obeys one name of an ARG instruction.
    pub(crate) fn declare(&mut self, argument: &Argument) -> Result<(), Diagnostic> {
        let name = argument.name.expand(&|name: &str| self.get(name))?;
        let default = match &argument.default {
            Some(word) => Some(word.expand(&|name: &str| self.get(name))?),
            None => None,
        };
        let inherited = || self.global.get(&name).cloned();
        let value = self.given.get(&name).cloned().or(default).or_else(inherited);
        self.declared.insert(name, value);
        Ok(())
    }

    /// Obeys ENV: all at once, as they do not see each other.
    pub(crate) fn set(&mut self, values: Vec<(String, String)>) {
        self.environment.extend(values);
    }

    /// The environment of a RUN: ENV, and every ARG that has a value.
    pub(crate) fn of_run(&self) -> BTreeMap<String, String> {
        let mut all: BTreeMap<String, String> = self
            .declared
            .iter()
            .filter_map(|(name, value)| Some((name.clone(), value.clone()?)))
            .collect();
        all.extend(self.environment.clone());
        all
    }
}

#[cfg(test)]
mod tests {
    use stagex_recipe::{
        Document,
        containerfile::{Containerfile, Instruction},
    };

    use super::*;

    /// The variables at the end of the last stage of `text`.
    fn variables(text: &str, given: &[(&str, &str)]) -> BTreeMap<String, String> {
        let given: Arguments = map(given);
        let file = Containerfile::parse(&Document::new("Containerfile", text)).unwrap();
        // As the catalogue reads them.
        let mut global = map(&[("TARGETARCH", "amd64")]);
        for argument in &file.global_args {
            let look = |name: &str| global.get(name).cloned();
            let name = argument.name.expand(&look).unwrap();
            let default = argument.default.as_ref().map(|word| word.expand(&look).unwrap());
            let value = given.get(&name).cloned().or(default);
            global.extend(value.map(|value| (name, value)));
        }
        let mut scope = Scope::stage(&given, &global, BTreeMap::new(), BTreeMap::new());
        for instruction in &file.stages.last().unwrap().instructions {
            match &instruction.value {
                Instruction::Arg(arguments) => {
                    arguments.iter().for_each(|argument| scope.declare(argument).unwrap());
                }
                Instruction::Env(assignments) => {
                    let lookup = |name: &str| scope.get(name);
                    let values = assignments
                        .iter()
                        .map(|a| (a.key.expand(&lookup).unwrap(), a.value.expand(&lookup).unwrap()))
                        .collect();
                    scope.set(values);
                }
                _ => unreachable!(),
            }
        }
        scope.of_run()
    }

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect()
    }

    #[test]
    fn arguments_are_unset_in_a_stage_until_declared() {
        let text = "ARG A=1\nARG B=${A}2\nFROM scratch\nARG B\nENV C=$A-$B\n";
        assert_eq!(variables(text, &[]), map(&[("B", "12"), ("C", "-12")]));
        assert_eq!(variables(text, &[("A", "9")]), map(&[("B", "92"), ("C", "-92")]));
    }

    #[test]
    fn given_values_beat_defaults_and_env_beats_arg() {
        let text = "FROM scratch\nARG V=1 W\nENV V=e\nARG V=2\n";
        assert_eq!(variables(text, &[("W", "w")]), map(&[("V", "e"), ("W", "w")]));
    }

    #[test]
    fn assignments_of_one_env_do_not_see_each_other() {
        let text = "FROM scratch\nENV a=1\nENV a=2 b=$a\nARG TARGETARCH\n";
        assert_eq!(variables(text, &[]), map(&[("TARGETARCH", "amd64"), ("a", "2"), ("b", "1")]));
    }
}
