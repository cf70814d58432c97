//! What reads and writes a stream: the application that dialled it, and its target.

use crate::observed::StreamEnd;
use crate::schedule::{TargetEnd, TargetPlan, TargetReads, TargetWrites};

/// One end of a stream, without IO: both worlds ask it for its next operation and report the results.
///
/// An application follows the steps of the schedule; a target follows its plan.
#[derive(Clone, Debug)]
pub struct Player {
    plan: Option<TargetPlan>,
    /// Bytes that it still has to write.
    unwritten: u64,
    /// Bytes that it still wants to read.
    appetite: u64,
    wish: Wish,
    end: StreamEnd,
}

/// Its operation after its last write; resets and drops do not wait for that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish {
    Nothing,
    Finish,
    Reset,
    Drop,
}

/// The next operation of a [`Player`] on its stream, reading apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Desire {
    /// Write so many bytes, or as many as are taken.
    Write(u64),
    /// Finish its direction.
    Finish,
    /// Reset the connection.
    Reset,
    /// Let go of the connection.
    Drop,
    /// Nothing now.
    Nothing,
}

impl Player {
    /// An application, which does nothing before a step.
    #[must_use]
    pub fn application() -> Self {
        Self {
            plan: None,
            unwritten: 0,
            appetite: 0,
            wish: Wish::Nothing,
            end: StreamEnd::default(),
        }
    }

    /// A target that has accepted its dial.
    #[must_use]
    pub fn target(plan: &TargetPlan) -> Self {
        let appetite = match plan.reads {
            TargetReads::All => u64::MAX,
            TargetReads::UpTo(bytes) => bytes.into(),
        };
        let unwritten = match plan.writes {
            TargetWrites::Pour(bytes) => bytes.into(),
            TargetWrites::Echo | TargetWrites::AfterEof(_) => 0,
        };
        let mut target = Self { appetite, unwritten, ..Self::application() };
        target.plan = Some(plan.clone());
        target.follow_plan();
        target
    }

    /// It has so many more bytes to write. Once it finishes, there are no more.
    pub fn write_more(&mut self, bytes: u64) {
        if self.wish == Wish::Nothing {
            self.unwritten += bytes;
        }
    }

    /// It wants to read so many more bytes.
    pub fn read_more(&mut self, bytes: u64) {
        self.appetite = self.appetite.saturating_add(bytes);
    }

    /// It wants to read everything.
    pub fn read_all(&mut self) {
        self.appetite = u64::MAX;
    }

    /// It wants to finish once it has written what it has to.
    pub fn finish(&mut self) {
        if self.wish == Wish::Nothing {
            self.wish = Wish::Finish;
        }
    }

    /// It wants to reset the connection now.
    pub fn reset(&mut self) {
        self.wish = Wish::Reset;
    }

    /// It wants to let go of the connection now.
    pub fn let_go(&mut self) {
        self.wish = Wish::Drop;
    }

    /// Its next operation, reading apart.
    #[must_use]
    pub fn desire(&self) -> Desire {
        if self.end.let_go || self.end.broken.is_some() {
            return Desire::Nothing;
        }
        match self.wish {
            Wish::Reset => Desire::Reset,
            Wish::Drop => Desire::Drop,
            _ if self.end.finished => Desire::Nothing,
            _ if self.unwritten > 0 => Desire::Write(self.unwritten),
            Wish::Finish => Desire::Finish,
            Wish::Nothing => Desire::Nothing,
        }
    }

    /// Bytes that it has not written yet, in spite of its other operations.
    #[must_use]
    pub const fn unwritten(&self) -> u64 {
        self.unwritten
    }

    /// How many bytes it reads at most before it resets the connection or lets go of it.
    #[must_use]
    pub fn reads_to_its_reset(&self) -> u64 {
        match self.plan.as_ref().map(|plan| plan.end) {
            Some(TargetEnd::Reset(after) | TargetEnd::Drop(after)) => {
                u64::from(after).saturating_sub(self.end.read)
            }
            _ => u64::MAX,
        }
    }

    /// How many bytes it would read now. At the end of file it reads no more.
    #[must_use]
    pub fn appetite(&self) -> u64 {
        let over = self.end.let_go || self.end.eof || self.end.broken.is_some();
        if over { 0 } else { self.appetite }
    }

    /// So many bytes were taken from it.
    pub fn wrote(&mut self, bytes: u64) {
        self.unwritten = self.unwritten.saturating_sub(bytes);
        self.end.written += bytes;
        self.follow_plan();
    }

    /// It read so many bytes.
    pub fn read(&mut self, bytes: u64) {
        if self.appetite != u64::MAX {
            self.appetite = self.appetite.saturating_sub(bytes);
        }
        self.end.read += bytes;
        if matches!(&self.plan, Some(plan) if plan.writes == TargetWrites::Echo) {
            self.unwritten += bytes;
        }
        self.follow_plan();
    }

    /// It read the end of file.
    pub fn saw_eof(&mut self) {
        if self.end.eof {
            return;
        }
        self.end.eof = true;
        if let Some(TargetPlan { writes: TargetWrites::AfterEof(bytes), .. }) = self.plan {
            self.unwritten += u64::from(bytes);
        }
        self.follow_plan();
    }

    /// Its direction is finished.
    pub fn finished(&mut self) {
        self.end.finished = true;
    }

    /// It has reset or let go of the connection.
    pub fn disconnected(&mut self) {
        self.end.let_go = true;
    }

    /// The connection broke under it.
    pub fn broke(&mut self, why: &str) {
        self.end.broken.get_or_insert_with(|| why.to_string());
    }

    /// Its connection has ended, after so many bytes that were its to read.
    pub fn was_owed(&mut self, bytes: u64) {
        self.end.owed = Some(bytes);
    }

    /// Its record.
    #[must_use]
    pub const fn end(&self) -> &StreamEnd {
        &self.end
    }

    /// Whether it has finished and read to the end.
    #[must_use]
    pub const fn is_done(&self) -> bool {
        self.end.finished && self.end.eof
    }

    fn follow_plan(&mut self) {
        let Some(plan) = &self.plan else { return };
        let wrote_all = self.unwritten == 0;
        let wish = match plan.end {
            TargetEnd::AfterEof if self.end.eof && wrote_all => Wish::Finish,
            TargetEnd::AfterWriting if wrote_all && self.has_written_its_part(plan) => Wish::Finish,
            TargetEnd::Reset(after) if self.end.read >= after.into() => Wish::Reset,
            TargetEnd::Drop(after) if self.end.read >= after.into() => Wish::Drop,
            _ => return,
        };
        self.wish = wish;
    }

    /// Whether nothing can come that it would still have to write.
    const fn has_written_its_part(&self, plan: &TargetPlan) -> bool {
        matches!(plan.writes, TargetWrites::Pour(_)) || self.end.eof
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::Answer;

    #[test]
    fn an_echo_writes_what_it_read_and_then_finishes() {
        let mut echo = Player::target(&TargetPlan::ECHO);
        assert_eq!(echo.desire(), Desire::Nothing);
        echo.read(10);
        assert_eq!(echo.desire(), Desire::Write(10));
        echo.saw_eof();
        echo.wrote(4);
        assert_eq!(echo.desire(), Desire::Write(6));
        echo.wrote(6);
        assert_eq!(echo.desire(), Desire::Finish);
        echo.finished();
        assert!(echo.is_done() && echo.desire() == Desire::Nothing);
    }

    #[test]
    fn one_that_stops_reading_holds_on() {
        let plan = TargetPlan {
            answer: Answer::Accept,
            reads: TargetReads::UpTo(5),
            writes: TargetWrites::Pour(3),
            end: TargetEnd::Never,
        };
        let mut target = Player::target(&plan);
        assert_eq!((target.desire(), target.appetite()), (Desire::Write(3), 5));
        target.read(5);
        target.wrote(3);
        assert_eq!((target.desire(), target.appetite()), (Desire::Nothing, 0));
    }

    #[test]
    fn an_application_finishes_after_what_it_had_to_write_and_drops_at_once() {
        let mut application = Player::application();
        application.write_more(7);
        application.finish();
        application.write_more(100);
        assert_eq!(application.desire(), Desire::Write(7));
        application.wrote(7);
        assert_eq!(application.desire(), Desire::Finish);
        application.let_go();
        assert_eq!(application.desire(), Desire::Drop);
        application.disconnected();
        assert_eq!(application.desire(), Desire::Nothing);
    }
}
