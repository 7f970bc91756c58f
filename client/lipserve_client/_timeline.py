"""A result as its pieces: what is driven by which speech, what is encoded as it is, what is copied."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from lipserve.audio.places import Voice
from lipserve.audio.soundtrack import Sound
from lipserve.contracts import TierName
from lipserve.cues import Cue, CueSheet, CueSource, plan, read
from lipserve.cues.plan import Part, fades
from lipserve.errors import CueError, OptionsError
from lipserve.files.picture import MediaSource
from lipserve.media.smart import Copyable, copyable
from lipserve.options import Options
from lipserve.segments import Span
from lipserve_client._clip import Clip
from lipserve_client._film import Film

Range = Mapping[str, Any] | tuple[float, float]
"""A stretch of time: `start` and `end` in seconds, or both as a pair."""

OWN_SOUND = "video"  # of `background`: the video's own
_TOLD_SECONDS = 0.2  # of a speech that is not heard
_PIECE_SECONDS = 10  # of what is encoded or copied at a time


@dataclass(frozen=True)
class Direction:
    """What a call asks for beyond one speech on one video.

    Attributes:
        cues: who speaks what, and when. bypass: stretches that stay untouched.
        background: sound under the speech: a file, or `video` for the video's own; `background_lufs`: its
            loudness. loudness: that of the result, LUFS.
    """

    cues: CueSource | None = None
    bypass: Sequence[Range] = ()
    background: MediaSource | None = None
    background_lufs: float | None = None
    loudness: float | None = None

    @property
    def plain(self) -> bool:
        return self == Direction()


@dataclass(frozen=True)
class Piece:
    """A stretch of the result.

    Attributes:
        calls: the clips that drive it, and the number of the segment in each; none: it stays untouched.
        copied: its packets are the source's.
    """

    span: Span
    calls: tuple[tuple[Clip, int], ...] = ()
    copied: bool = False


@dataclass(frozen=True)
class Timeline:
    """A result that is not one clip alone.

    Attributes:
        frames: of the result.
        clips: the speeches, each with the segments that it drives.
        pieces: in order, without gaps.
        sound: of the result; `seconds`: how long it lasts.
        copy: what can be copied of the video.
        options: of the pieces that nobody drives.
        own_set: number of the H.264 parameter sets of what the client encodes.
        warnings: what the report must say of it.
    """

    film: Film
    frames: int
    clips: list[Clip]
    pieces: list[Piece]
    sound: Sound
    copy: Copyable
    options: Options
    own_set: int
    warnings: tuple[str, ...] = ()

    @property
    def seconds(self) -> float:
        return float(self.frames / self.film.info.fps)


def needs_timeline(clip: Clip, direction: Direction) -> bool:
    """Tell whether a clip of one speech is more than its segments: some of it untouched, or other sound."""
    keeps = clip.options.on_length_mismatch == "keep" and clip.spoken < clip.frames
    return keeps or not direction.plain


def of_clip(clip: Clip, speech: MediaSource, direction: Direction) -> Timeline:
    """Return the timeline of one speech on a video, some of which may stay untouched."""
    sheet = _sheet(direction, clip.film)
    keeps = clip.options.on_length_mismatch == "keep"
    end = (clip.spoken if keeps else clip.frames) / clip.info.fps
    parts = plan(CueSheet(cues=(Cue(end=float(end)),), bypass=sheet.bypass), clip.frames, clip.info.fps)
    voice = Voice(speech, 0.0, 0.0, float(end), clip.options.audio_track)
    sound = _sound(clip.film, [voice], direction, keeps)
    return _timeline(clip.film, clip.frames, [clip], [Cue()], parts, sound, clip.options)


def of_cues(
    video: MediaSource,
    speech: MediaSource | None,
    options: Options,
    tier: TierName,
    direction: Direction,
) -> Timeline:
    """Return the timeline of several cues; it lasts as long as the video.

    Raises:
        CueError: they cannot be read, lie outside the video, or contradict each other.
        InputError: the video, or a speech, cannot be used.
    """
    _check(options)
    film = Film(video, options.matte)
    sheet = _sheet(direction, film)
    frames = _frames(film, sheet)
    parts = plan(sheet, frames, film.info.fps)
    clips: list[Clip] = []
    voices: list[Voice] = []
    for number, cue in enumerate(sheet.cues, 1):
        source = speech if cue.speech is None else cue.speech
        if source is None:
            raise CueError(
                f"Cue {number} has no speech, and neither has the call.", "Name a file as its speech."
            )
        track = options.audio_track if cue.speech is None else None
        own = Options(**{**options.model_dump(exclude_unset=True), "face": cue.face, "audio_track": track})
        clips.append(Clip(film, source, own, tier, begin=cue.begin, frames=frames))
        if cue.start - cue.begin >= clips[-1].speech_seconds:
            raise CueError(
                f"Cue {number} begins {cue.start - cue.begin:g} s into a speech of "
                f"{clips[-1].speech_seconds:.1f} s.",
                "Give an offset within the speech, or an earlier start.",
            )
        end = float(frames / film.info.fps) if cue.end is None else cue.end
        voices.append(Voice(source, cue.begin, cue.start, end, track))
    line = _timeline(film, frames, clips, sheet.cues, parts, _sound(film, voices, direction, True), options)
    nobody = () if clips else ("Nobody is driven, because there are no cues: the video is as it was.",)
    return replace(line, warnings=(*sheet.warnings, *nobody, *_unheard(clips, voices)))


def _unheard(clips: Sequence[Clip], voices: Sequence[Voice]) -> tuple[str, ...]:
    """Return warnings of speeches of which no cue holds a part."""
    found = []
    for source in dict.fromkeys(voice.source for voice in voices):
        own = [pair for pair in zip(clips, voices, strict=True) if pair[1].source == source]
        length, heard, at = own[0][0].speech_seconds, 0.0, 0.0
        for start, end in sorted((voice.start - voice.begin, voice.end - voice.begin) for _, voice in own):
            heard += max(0.0, min(end, length) - max(start, at))
            at = max(at, min(end, length))
        if length - heard > _TOLD_SECONDS:
            name = "the speech" if isinstance(source, bytes) else str(source)
            found.append(
                f"{length - heard:.1f} s of the {length:.1f} s of {name} are not heard: no cue holds them."
            )
    return tuple(found)


def _sheet(direction: Direction, film: Film) -> CueSheet:
    info = film.info
    sheet = CueSheet() if direction.cues is None else read(direction.cues, info.fps, info.frames)
    more = CueSheet(bypass=tuple(direction.bypass))
    return CueSheet(cues=sheet.cues, bypass=(*sheet.bypass, *more.bypass)).warned(*sheet.warnings)


def _check(options: Options) -> None:
    for name in ("face", "on_length_mismatch", "reference"):
        if name in options.model_fields_set:
            raise OptionsError(
                f"{name} cannot be used together with cues, a person's number, or face=speaking.",
                "Each cue names its face, and the result is as long as the video.",
            )


def _frames(film: Film, sheet: CueSheet) -> int:
    if not film.info.still:
        return film.info.frames
    ends = [cue.end for cue in sheet.cues]
    if not ends or None in ends:
        raise CueError("The video is a picture, so it has no end.", "Give each cue an end.")
    return max(1, round(max(end for end in ends if end is not None) * film.info.fps))


def _timeline(
    film: Film,
    frames: int,
    clips: list[Clip],
    cues: Sequence[Cue],
    parts: list[Part],
    sound: Sound,
    options: Options,
) -> Timeline:
    identity = not film.info.still and (frames <= film.info.frames) and options.on_length_mismatch != "remap"
    identity &= options.mark is None  # every picture shows it
    copy = copyable(film.file, film.index, film.info) if identity else Copyable()
    taken = copy.sets.numbers if copy.sets else set()
    free = [number for number in range(32) if number not in taken][:2]
    if len(free) < 2:
        copy, free = Copyable(), [0, 1]
    for place, clip in enumerate(clips):
        clip.parameter_set = free[0]
        _drive(clip, place, cues, parts)
    pieces = [piece for part in parts for piece in _pieces(part, film, clips, copy)]
    return Timeline(
        film,
        frames,
        clips,
        pieces,
        sound,
        copy,
        options,
        free[1],
    )


def _drive(clip: Clip, place: int, cues: Sequence[Cue], parts: Sequence[Part]) -> None:
    """Give a clip the parts that it drives, and where its mouth gives way to the source's own."""
    own = [part for part in parts if place in part.cues]
    clip.drive([part.span for part in own])
    ends = dict(zip([part.span.first for part in own], fades(parts, cues, place), strict=True))
    stops = {part.span.stop: fade for part, fade in zip(own, ends.values(), strict=True)}
    clip.fades = [
        (
            span.first in ends and ends[span.first][0],
            span.stop in stops and stops[span.stop][1],
        )
        for span in clip.spans
    ]


def _pieces(part: Part, film: Film, clips: Sequence[Clip], copy: Copyable) -> list[Piece]:
    if not part.cues:
        longest = max(1, round(_PIECE_SECONDS * film.info.fps))
        return [Piece(span, copied=copied) for span, copied in copy.within(part.span, longest)]
    first = clips[part.cues[0]]
    pieces = []
    for span in first.spans:
        if part.span.first <= span.first < part.span.stop:
            calls = tuple((clips[cue], clips[cue].spans.index(span)) for cue in part.cues)
            pieces.append(Piece(span, calls))
    return pieces


def _sound(film: Film, voices: list[Voice], direction: Direction, keeps: bool) -> Sound:
    """Return the sound of a result.

    Args:
        keeps: whether the video's own sound is heard where no speech has the word.
    """
    background = direction.background
    if background == OWN_SOUND:
        if not film.info.has_audio:
            raise OptionsError(
                "The video has no sound that could be the background.", "Give a sound file as the background."
            )
        background = film.file
    own = film.file if keeps and film.info.has_audio else None
    return Sound(voices, own, background, direction.background_lufs, direction.loudness)
