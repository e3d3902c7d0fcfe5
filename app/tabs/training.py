"""The Training tab: how it is learned."""

from app import parts
from app.forms import Form

TITLE = "tabs.training"


def build(form: Form) -> None:
    """Lays out the tab."""
    with parts.part("training.length"):
        form.grid("training.epochs", "training.steps", "training.batch_size")
    with parts.part("training.rate"):
        form.grid(
            *("training.learning_rate", "training.optimizer", "training.schedule"),
            *("training.warmup_percent", "training.precision", "training.seed"),
        )
    with parts.part("training.text_encoder", needs="text_encoder"):
        form.grid("training.text_encoder", "training.text_encoder_learning_rate")
    form.rest("training")
