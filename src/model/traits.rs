//! The modalities and capabilities of a model, as small sets.

use std::fmt;

use serde::{Serialize, Serializer};

/// A kind of input or output of a model.
///
/// Serialised as its [name](Self::as_str).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
#[repr(u8)]
pub enum Modality {
    /// Text.
    Text,
    /// Images.
    Image,
    /// Files such as PDF documents.
    File,
    /// Audio of any kind.
    Audio,
    /// Video.
    Video,
    /// Embedding vectors.
    Embeddings,
    /// Synthesised speech.
    Speech,
    /// Transcribed speech.
    Transcription,
    /// A ranking of documents.
    Rerank,
}

impl Modality {
    const ALL: [Self; 9] = [
        Self::Text,
        Self::Image,
        Self::File,
        Self::Audio,
        Self::Video,
        Self::Embeddings,
        Self::Speech,
        Self::Transcription,
        Self::Rerank,
    ];

    /// Returns the name under which the modality is served, such as `text`. The names are
    /// stable.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Image => "image",
            Self::File => "file",
            Self::Audio => "audio",
            Self::Video => "video",
            Self::Embeddings => "embeddings",
            Self::Speech => "speech",
            Self::Transcription => "transcription",
            Self::Rerank => "rerank",
        }
    }

    /// Parses a provider's name of a modality, ignoring case.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        const NAMES: [(&str, Modality); 14] = [
            ("text", Modality::Text),
            ("image", Modality::Image),
            ("vision", Modality::Image),
            ("file", Modality::File),
            ("pdf", Modality::File),
            ("audio", Modality::Audio),
            ("video", Modality::Video),
            ("embeddings", Modality::Embeddings),
            ("embedding", Modality::Embeddings),
            ("speech", Modality::Speech),
            ("transcription", Modality::Transcription),
            ("transcribe", Modality::Transcription),
            ("rerank", Modality::Rerank),
            ("images", Modality::Image),
        ];
        let same = |(known, _): &&(&str, Self)| name.eq_ignore_ascii_case(known);
        NAMES.iter().find(same).map(|(_, modality)| *modality)
    }
}

impl fmt::Display for Modality {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Modality {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// A set of modalities. An empty set means unknown.
///
/// Serialised as a list of [names](Modality::as_str).
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Modalities(u16);

impl Modalities {
    /// Returns whether the modality is in the set.
    pub fn contains(self, modality: Modality) -> bool {
        self.0 & (1 << modality as u8) != 0
    }

    /// Returns whether the set is empty.
    pub fn is_empty(&self) -> bool {
        self.0 == 0
    }

    /// Returns an iterator over the modalities, in the order of declaration.
    pub fn iter(self) -> impl Iterator<Item = Modality> {
        let all = Modality::ALL.into_iter();
        all.filter(move |&modality| self.contains(modality))
    }
}

impl FromIterator<Modality> for Modalities {
    fn from_iter<I: IntoIterator<Item = Modality>>(all: I) -> Self {
        Self(all.into_iter().fold(0, |set, one| set | 1 << one as u8))
    }
}

impl<const N: usize> From<[Modality; N]> for Modalities {
    fn from(all: [Modality; N]) -> Self {
        Self::from_iter(all)
    }
}

impl fmt::Debug for Modalities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

impl Serialize for Modalities {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

/// A capability that a model has or lacks.
///
/// Serialised as its [name](Self::as_str).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
#[repr(u8)]
pub enum Capability {
    /// Chat completion.
    Chat,
    /// Tool calls.
    Tools,
    /// Reasoning before the response.
    Reasoning,
    /// Output that follows a given JSON schema.
    StructuredOutput,
    /// Fine-tuning.
    FineTuning,
    /// Batch requests.
    Batch,
}

impl Capability {
    const ALL: [Self; 6] = [
        Self::Chat,
        Self::Tools,
        Self::Reasoning,
        Self::StructuredOutput,
        Self::FineTuning,
        Self::Batch,
    ];

    /// Returns the name under which the capability is served, such as `structured_output`. The
    /// names are stable.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Tools => "tools",
            Self::Reasoning => "reasoning",
            Self::StructuredOutput => "structured_output",
            Self::FineTuning => "fine_tuning",
            Self::Batch => "batch",
        }
    }

    /// Parses the [name](Self::as_str) of a capability.
    #[cfg(feature = "config")]
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.as_str() == name)
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Capability {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// The known capabilities of a model. Each capability is present, absent or unknown.
///
/// Serialised as a map from [names](Capability::as_str) to `true` or `false`.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Capabilities {
    pub(super) known: u8,
    pub(super) present: u8,
}

impl Capabilities {
    /// Returns whether the model has the capability, or `None` if that is unknown.
    pub fn get(self, capability: Capability) -> Option<bool> {
        let bit = 1 << capability as u8;
        (self.known & bit != 0).then_some(self.present & bit != 0)
    }

    pub(crate) fn set(&mut self, capability: Capability, has: bool) {
        let bit = 1 << capability as u8;
        self.known |= bit;
        if has {
            self.present |= bit;
        } else {
            self.present &= !bit;
        }
    }

    /// Returns whether no capability is known.
    pub fn is_empty(&self) -> bool {
        self.known == 0
    }

    /// Returns an iterator over the known capabilities, in the order of declaration.
    pub fn iter(self) -> impl Iterator<Item = (Capability, bool)> {
        let known = move |capability| Some((capability, self.get(capability)?));
        Capability::ALL.into_iter().filter_map(known)
    }
}

impl fmt::Debug for Capabilities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl Serialize for Capabilities {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}
