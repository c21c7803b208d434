//! What holds where no rule matches, and where that is written.

use crate::{Fallback, layer::Layer, own::Written, place::Place};

/// A default with its place, so that a denial can name it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DefaultRule {
    pub fallback: Fallback,
    /// As it is written.
    pub text: Box<str>,
    pub file: Option<Box<str>>,
    pub line: Option<u32>,
    /// What it is part of, for example the configuration.
    pub layer: Box<str>,
}

impl DefaultRule {
    pub(crate) fn of_layer(layer: &Layer, default: &Written<Fallback>) -> DefaultRule {
        DefaultRule {
            fallback: default.value,
            text: default.rule.text.clone(),
            file: Some(layer.file().into()),
            line: Some(default.rule.line),
            layer: layer.name().into(),
        }
    }

    pub(crate) fn place(&self) -> Place<'_> {
        Place { text: Some(&self.text), file: self.file.as_deref(), line: self.line, layer: &self.layer }
    }
}

/// One that nobody has written.
impl From<Fallback> for DefaultRule {
    fn from(fallback: Fallback) -> DefaultRule {
        let text = format!("default = \"{fallback}\"").into();
        DefaultRule { fallback, text, file: None, line: None, layer: BUILT_IN.into() }
    }
}

/// The layer of what no file says.
pub(crate) const BUILT_IN: &str = "built in";
