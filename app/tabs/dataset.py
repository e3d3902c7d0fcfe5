"""The Dataset tab: which pictures are learned, how they are cut, and what was found wrong with them."""

from app import captions, parts, plans
from app.forms import Form
from app.islands import island

TITLE = "tabs.dataset"


def build(form: Form) -> None:
    """Lays out the tab."""
    with parts.part("dataset.pictures"):
        form.grid("dataset.folder", "dataset.resolution")
        form.browsable("dataset.folder", "folder")
        overview = island("dataset_overview", None)
    with parts.part("dataset.captions"):
        form.grid("dataset.trigger", "dataset.shuffle_captions", "dataset.keep_tokens")
        form.rest("dataset")
    form.browsable("dataset.regularisation_folder", "folder")
    form.browsable("dataset.mask_folder", "folder")
    pictures = island("dataset_grid", None, [captions.save_caption, captions.whole_caption, plans.further_pictures])
    form.on_change(plans.data_paths(), plans.view, overview, pictures)
