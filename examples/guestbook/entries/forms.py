from django import forms

from entries.models import Entry


class EntryForm(forms.ModelForm):
    # Hidden from people by the style sheet; only programs fill it in.
    website = forms.CharField(required=False, widget=forms.TextInput(attrs={"tabindex": "-1", "autocomplete": "off"}))

    class Meta:
        model = Entry
        fields = ["name", "message"]
        widgets = {
            "name": forms.TextInput(attrs={"autocomplete": "name", "placeholder": "Ada Lovelace"}),
            "message": forms.Textarea(attrs={"rows": 4, "placeholder": "It was a pleasure to be here."}),
        }

    def clean_website(self):
        if self.cleaned_data["website"]:
            raise forms.ValidationError("Please leave this field empty.")
        return ""
