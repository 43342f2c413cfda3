"""Reading: files, folders and archives of strangers become studies, or one clear error."""
