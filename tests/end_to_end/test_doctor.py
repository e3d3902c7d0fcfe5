"""The Doctor under Tools: called from anywhere on the page, it looks at this machine and gives a report to copy."""

from playwright.sync_api import Page, expect

from tests.end_to_end.conftest import reopen


def test_the_doctor_is_called_and_his_report_can_be_copied(ui: Page, base_url: str) -> None:
    reopen(ui, f"{base_url}/#doctor")
    tool = ui.locator("#tool-doctor")
    lines = tool.locator(".lines li")
    expect(lines.first).to_be_visible()
    expect(tool.locator(".run")).to_be_hidden()
    copy = tool.get_by_text("Copy the report")
    expect(copy).to_be_visible()
    expect(lines.filter(has_text="Computation")).to_contain_text("its gradients are right")
    for title in ("Python", "Packages", "Output folder", "Temporary folder", "PyTorch", "8-bit optimizers"):
        expect(lines.filter(has=ui.get_by_role("heading", name=title, exact=True)).locator(".mark")).to_be_visible()
    ui.context.grant_permissions(["clipboard-read", "clipboard-write"])
    copy.click()
    report = ui.evaluate("navigator.clipboard.readText()")
    assert report.count("\n") >= lines.count()
    assert "✓ Python: " in report
    ui.reload()
    ui.wait_for_function("document.body.dataset.ready === '1'")
    assert "#" not in ui.url
    ui.evaluate("document.body.insertAdjacentHTML('beforeend', '<button data-doctor id=call>help</button>')")
    ui.locator("#call").click()
    expect(tool.locator(".work")).to_be_visible()
    tool.get_by_role("button", name="Cancel").click()
    expect(tool.locator(".panel.neutral")).to_be_visible()
