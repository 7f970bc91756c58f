"""Speech: any file to 16 kHz mono, and the mel spectrograms that the networks take."""

from lipserve.audio.mel import mel_wav2lip, mel_whisper, whisper_peak
from lipserve.audio.samples import MAX_SECONDS, envelope, lengthened, load, spool, warnings, wav

__all__ = [
    "MAX_SECONDS",
    "envelope",
    "lengthened",
    "load",
    "mel_wav2lip",
    "mel_whisper",
    "spool",
    "warnings",
    "wav",
    "whisper_peak",
]
