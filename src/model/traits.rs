//! What a model takes, gives and can do: small sets.

use std::fmt;

use serde::{Serialize, Serializer};

/// A kind of what a model takes in or gives out.
///
/// Serialised, it is its [word](Self::as_str).
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
    /// Sound of any kind.
    Audio,
    /// Moving images.
    Video,
    /// Vectors.
    Embeddings,
    /// Spoken text.
    Speech,
    /// Text of what was spoken.
    Transcription,
    /// An order of documents.
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

    /// The word under which it is served, such as `text`. It never changes.
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

    /// The modality that providers call so, in whatever case.
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

/// A set of modalities; empty: not known.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Modalities(u16);

impl Modalities {
    /// Whether this one is in the set.
    pub fn contains(self, modality: Modality) -> bool {
        self.0 & (1 << modality as u8) != 0
    }

    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.0 == 0
    }

    /// Those in the set, always in the same order.
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

/// Something that a model can do, or cannot.
///
/// Serialised, it is its [word](Self::as_str).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
#[repr(u8)]
pub enum Capability {
    /// Holds conversations.
    Chat,
    /// Calls tools.
    Tools,
    /// Thinks before it answers.
    Reasoning,
    /// Keeps to a given JSON schema.
    StructuredOutput,
    /// Can be fine-tuned.
    FineTuning,
    /// Answers in batches.
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

    /// The word under which it is served, such as `structured_output`. It never changes.
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

    /// The capability of this word.
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

/// What is known of what a model can do: of each capability that it has it, that it
/// lacks it, or nothing.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Capabilities {
    pub(super) known: u8,
    pub(super) present: u8,
}

impl Capabilities {
    /// Whether the model has the capability; `None`: not known.
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

    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.known == 0
    }

    /// What is known, always in the same order.
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
