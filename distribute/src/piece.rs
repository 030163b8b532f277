//! One piece of configuration with what the proxies think of it.

use bytes::Bytes;
use proto::{ContentHash, PrivateKeyRef, Put, Routing};

/// Versions without an answer that are remembered beside the newest.
const UNANSWERED: usize = 8;

/// A version of a piece.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Content {
    pub(crate) version: ContentHash,
    pub(crate) body: Bytes,
    pub(crate) private_key: Option<PrivateKeyRef>,
    pub(crate) routing: Option<Routing>,
}

impl From<&Put> for Content {
    fn from(put: &Put) -> Self {
        Content {
            version: put.version,
            body: put.body.clone(),
            private_key: put.private_key.clone(),
            routing: put.routing.clone(),
        }
    }
}

/// What is known of the newest version of a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// No proxy has answered yet; served.
    Unproven,
    /// A proxy ACKed it; served.
    Proven,
    /// Was in a NACKed push with others, or the proxy that refused it is gone; not served until it is tried.
    Suspect,
    /// Refused alone; not served until a new version comes, or the proxy that refused it is gone.
    Rejected,
}

/// A piece: its newest version, and the last good one while the newest is not proven.
#[derive(Debug)]
pub(crate) struct Piece {
    current: Content,
    good: Option<Content>,
    /// Versions that were served and replaced before a proxy answered, with their positions.
    unanswered: Vec<(u64, Content)>,
    verdict: Verdict,
    healing: bool,
    /// Position of the last change of what is served, in the scope's own count.
    pub(crate) seq: u64,
}

impl Piece {
    pub(crate) fn new(content: Content, seq: u64) -> Self {
        Piece {
            current: content,
            good: None,
            unanswered: Vec::new(),
            verdict: Verdict::Unproven,
            healing: false,
            seq,
        }
    }

    /// What proxies get now.
    pub(crate) fn served(&self) -> Option<&Content> {
        match self.verdict {
            Verdict::Unproven | Verdict::Proven => Some(&self.current),
            Verdict::Suspect | Verdict::Rejected => self.good.as_ref(),
        }
    }

    pub(crate) fn verdict(&self) -> Verdict {
        self.verdict
    }

    /// Version of the newest content, served or not.
    pub(crate) fn newest(&self) -> ContentHash {
        self.current.version
    }

    /// Takes a new version. A quarantine belongs to a version, so it ends here; that of the same
    /// version stays.
    pub(crate) fn replace(&mut self, content: Content) {
        if content.version == self.current.version {
            return;
        }
        let old = std::mem::replace(&mut self.current, content);
        match self.verdict {
            Verdict::Proven => self.good = Some(old),
            Verdict::Unproven => {
                if self.unanswered.len() == UNANSWERED {
                    self.unanswered.remove(0);
                }
                self.unanswered.push((self.seq, old));
            }
            Verdict::Suspect | Verdict::Rejected => {}
        }
        self.verdict = Verdict::Unproven;
        if self.good.as_ref().is_some_and(|good| good.version == self.current.version) {
            self.accept();
        }
    }

    /// A proxy ACKed what was served at `seq`: the newest version, or one that was replaced meanwhile.
    pub(crate) fn prove(&mut self, seq: u64) {
        if self.verdict != Verdict::Unproven {
            return;
        }
        if self.seq <= seq {
            return self.accept();
        }
        let Some(at) = self.unanswered.iter().rposition(|(served, _)| *served <= seq) else { return };
        let good = self.unanswered.drain(..=at).next_back().map(|(_, content)| content);
        if good.as_ref().is_some_and(|good| good.version == self.current.version) {
            return self.accept();
        }
        self.good = good;
    }

    fn accept(&mut self) {
        self.verdict = Verdict::Proven;
        self.good = None;
        self.unanswered = Vec::new();
    }

    /// Sets the verdict of the newest version.
    pub(crate) fn judge(&mut self, verdict: Verdict) {
        self.verdict = verdict;
        self.healing |= verdict == Verdict::Rejected;
    }

    /// True once, when a piece that was quarantined has been proven again.
    pub(crate) fn take_healed(&mut self) -> bool {
        self.verdict == Verdict::Proven && std::mem::take(&mut self.healing)
    }

    /// True if a version of this piece was rejected and no later one has been proven.
    pub(crate) fn is_blamed(&self) -> bool {
        self.healing
    }

    /// True if the newest version is not served.
    pub(crate) fn is_quarantined(&self) -> bool {
        matches!(self.verdict, Verdict::Suspect | Verdict::Rejected)
    }
}
