"""The dashboard: a site's figures as pages, rendered here, drawn as charts in the browser from their own tables."""
